/** The page: shows the count of one agent, live, and lets it count. The name is in the address, `?name=…`. */
import { useAgent } from "agents/react";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import type { CounterAgent, CounterState } from "./server";

const name = new URLSearchParams(location.search).get("name") ?? "default";

function Counter() {
  const [count, setCount] = useState<number>();
  const [connected, setConnected] = useState(false);
  const agent = useAgent<CounterAgent, CounterState>({
    agent: "CounterAgent",
    name,
    protocol: location.protocol === "https:" ? "wss" : "ws",
    onStateUpdate: (state) => setCount(state.count),
    onOpen: () => setConnected(true),
    onClose: () => setConnected(false),
  });
  return (
    <>
      <h1>{agent.name}</h1>
      <output>{count}</output>
      <button type="button" onClick={() => agent.stub.increment()}>
        Increment
      </button>
      <button type="button" onClick={() => agent.stub.decrement()}>
        Decrement
      </button>
      <button type="button" onClick={() => agent.stub.reset()}>
        Reset
      </button>
      <p>{connected ? "connected" : "connecting"}</p>
    </>
  );
}

createRoot(document.getElementById("root") as HTMLElement).render(<Counter />);
