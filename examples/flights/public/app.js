// The page: a live counter over a WebSocket, the newest answer as a chart, the cron's last run.
const element = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.onopen = () => element("light").classList.add("on");
  socket.onmessage = ({ data }) => {
    const { http = 0, binding = 0 } = JSON.parse(data);
    element("total").textContent = number.format(http + binding);
    element("ways").textContent = `${number.format(http)} by HTTP, ${number.format(binding)} by the Worker`;
  };
  socket.onclose = () => {
    element("light").classList.remove("on");
    setTimeout(connect, 1000);
  };
}

function svg(name, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

// As many letters as fit beside the bars.
const short = (name) => (name.length > 28 ? `${name.slice(0, 27)}…` : name);

function draw({ airports, at }) {
  const row = 34;
  const left = 290;
  const right = 620;
  const longest = Math.max(...airports.map((a) => a.mean_delay), 1);
  const chart = element("chart");
  chart.setAttribute("viewBox", `0 0 800 ${airports.length * row}`);
  chart.replaceChildren(
    ...airports.flatMap((airport, i) => {
      const width = Math.max(2, ((right - left) * airport.mean_delay) / longest);
      const y = i * row;
      return [
        svg("text", { x: left - 12, y: y + 21, "text-anchor": "end" }, `${short(airport.name)} (${airport.origin})`),
        svg("rect", { x: left, y: y + 6, width, height: row - 12, rx: 4 }),
        svg(
          "text",
          { x: left + width + 8, y: y + 21, class: "dim" },
          `${airport.mean_delay.toFixed(1)} min · ${number.format(airport.flights)} flights`,
        ),
      ];
    }),
  );
  element("caption").textContent = `Mean delay at departure in minutes; answered ${new Date(at).toLocaleString()}`;
}

async function refresh() {
  const status = await fetch("/api/status").then((r) => r.json());
  element("title").textContent = status.title;
  element("reports").textContent = number.format(status.reports);
  if (status.cron !== null) {
    element("cron").textContent = new Date(status.cron.scheduled_at).toLocaleTimeString();
    element("cron-detail").textContent = `${status.cron.cron} · ${number.format(status.cron.events)} events then`;
  }
  const answer = await fetch("/api/answer");
  if (answer.ok) draw(await answer.json());
}

connect();
refresh();
setInterval(refresh, 2000);
