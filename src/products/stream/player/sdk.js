// Drives a player in an iframe: `const player = Stream(iframe)`. The player says what it does by messages.
(() => {
  const WRITABLE = ["autoplay", "controls", "currentTime", "loop", "muted", "preload", "volume"];
  const READABLE = [...WRITABLE, "duration", "ended", "paused"];

  const open = (iframe) => {
    const events = new EventTarget();
    const waiting = new Map();
    let state = { paused: true, ended: false, muted: false, volume: 1, currentTime: 0, duration: Number.NaN };
    let calls = 0;
    const send = (message) => iframe.contentWindow?.postMessage({ stream: true, ...message }, new URL(iframe.src, location.href).origin);
    addEventListener("message", ({ source, data }) => {
      if (source !== iframe.contentWindow || data?.stream !== true) return;
      if (data.state) state = data.state;
      if (data.answer !== undefined) {
        const { resolve, reject } = waiting.get(data.answer) ?? {};
        waiting.delete(data.answer);
        if (data.error === null) resolve?.();
        else reject?.(new Error(data.error));
      }
      if (data.event) events.dispatchEvent(new CustomEvent(data.event, { detail: data }));
    });
    const player = {
      addEventListener: (...args) => events.addEventListener(...args),
      removeEventListener: (...args) => events.removeEventListener(...args),
      play: () =>
        new Promise((resolve, reject) => {
          const id = calls++;
          waiting.set(id, { resolve, reject });
          send({ call: "play", id });
        }),
      pause: () => send({ call: "pause" }),
    };
    for (const name of READABLE)
      Object.defineProperty(player, name, {
        enumerable: true,
        get: () => state[name],
        ...(WRITABLE.includes(name) && {
          set(value) {
            state = { ...state, [name]: value };
            send({ set: name, value });
          },
        }),
      });
    return player;
  };
  window.Stream = open;
})();
