// The script of moq-page.ts: a client of MoQ Transport draft 07 in Chromium, and a player of CMAF over it; gives `window.moq`.
(() => {
  const VERSION = 0xff000007;
  const varint = (value) => {
    if (value < 0x40) return [value];
    if (value < 0x4000) return [0x40 | (value >> 8), value & 0xff];
    const long = value >= 0x40000000;
    const view = new DataView(new ArrayBuffer(long ? 8 : 4));
    if (long) view.setBigUint64(0, BigInt(value) | (3n << 62n));
    else view.setUint32(0, value + 0x80000000);
    return [...new Uint8Array(view.buffer)];
  };
  const text = (value) => {
    const bytes = new TextEncoder().encode(value);
    return [...varint(bytes.length), ...bytes];
  };
  const tuple = (path) => [...varint(path.split("/").length), ...path.split("/").flatMap(text)];
  const message = (type, fields) => Uint8Array.from([...varint(type), ...varint(fields.length), ...fields]);

  // Numbers and bytes from a stream.
  const readerOf = (stream) => {
    const source = stream.getReader();
    let held = new Uint8Array(0);
    const more = async () => {
      const { value, done } = await source.read();
      if (done) return false;
      const all = new Uint8Array(held.length + value.length);
      all.set(held);
      all.set(value, held.length);
      held = all;
      return true;
    };
    const bytes = async (length) => {
      while (held.length < length) if (!(await more())) throw new Error("a stream ends in the middle");
      const taken = held.slice(0, length);
      held = held.slice(length);
      return taken;
    };
    const number = async () => {
      const [first] = await bytes(1);
      let value = first & 0x3f;
      for (const byte of await bytes((1 << (first >> 6)) - 1)) value = value * 256 + byte;
      return value;
    };
    return { bytes, number, ended: async () => held.length === 0 && !(await more()) };
  };

  let transport;
  let control;
  let withSubscribeId;
  const messages = [];
  const objects = [];
  const headers = [];
  let wake = () => {};
  const changed = () => {
    wake();
    for (const player of players.values()) player.feed();
  };
  const players = new Map();
  const tracks = new Map(); // By Subscribe ID and alias, which are equal.
  const asked = new Map(); // Subscribe ID and alias of the relay, by name.
  const groups = new Map(); // Open streams of what this page publishes.
  let nextId = 0;

  async function until(look) {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      await new Promise((resolve) => {
        const before = wake;
        wake = () => {
          before();
          resolve();
        };
      });
    }
  }

  async function readControl(reader) {
    while (!(await reader.ended())) {
      const type = await reader.number();
      const payload = await reader.bytes(await reader.number());
      messages.push({ type, payload });
      if (type === 0x03) {
        // SUBSCRIBE: its id, alias, namespace and name.
        const fields = readerOf(new Blob([payload]).stream());
        const [id, alias] = [await fields.number(), await fields.number()];
        for (let count = await fields.number(); count > 0; count--) await fields.bytes(await fields.number());
        const name = new TextDecoder().decode(await fields.bytes(await fields.number()));
        await control.write(message(0x04, [...varint(id), 0, 1, 0, 0]));
        asked.set(name, { id, alias });
      }
      changed();
    }
  }

  async function readSubgroup(stream) {
    const reader = readerOf(stream);
    const type = await reader.number();
    if (type !== 4) throw new Error(`a stream of type ${type}`);
    const header = [];
    for (let count = withSubscribeId ? 4 : 3; count > 0; count--) header.push(await reader.number());
    headers.push(header);
    await reader.bytes(1);
    const [alias, group] = header.slice(withSubscribeId ? 1 : 0);
    while (!(await reader.ended())) {
      const object = await reader.number();
      const length = await reader.number();
      if (length === 0) await reader.number();
      objects.push({ track: tracks.get(alias), group, object, payload: await reader.bytes(length) });
      changed();
    }
  }

  async function readStreams() {
    const streams = transport.incomingUnidirectionalStreams.getReader();
    for (let next = await streams.read(); !next.done; next = await streams.read()) readSubgroup(next.value).catch(() => {});
  }

  window.moq = {
    // `hash` in hex, of the certificate that is trusted; none for what the browser trusts, and over WebSocket.
    async connect(url, hash, subscribeId) {
      withSubscribeId = subscribeId;
      const value = hash && Uint8Array.from(hash.match(/../g), (byte) => Number.parseInt(byte, 16));
      transport = new WebTransport(url, value ? { serverCertificateHashes: [{ algorithm: "sha-256", value }] } : {});
      await transport.ready;
      const stream = await transport.createBidirectionalStream();
      control = stream.writable.getWriter();
      readControl(readerOf(stream.readable)).catch(() => {});
      readStreams().catch(() => {});
      await control.write(message(0x40, [1, ...varint(VERSION), 1, 0x00, 1, 3]));
      const { payload } = await until(() => messages.find(({ type }) => type === 0x41));
      return [...payload.slice(0, 8)];
    },
    async subscribe(namespace, name) {
      const id = nextId++;
      tracks.set(id, name);
      await control.write(message(0x03, [...varint(id), ...varint(id), ...tuple(namespace), ...text(name), 128, 0, 1, 0]));
      await until(() => messages.find(({ type, payload }) => type === 0x04 && payload[0] === id));
    },
    async announce(namespace) {
      await control.write(message(0x06, [...tuple(namespace), 0]));
      await until(() => messages.find(({ type }) => type === 0x07));
    },
    // Waits for the relay's subscription. `payload` in base64; `last` ends the group.
    async publish(name, group, object, payload, last) {
      const { id, alias } = await until(() => asked.get(name));
      let stream = groups.get(`${name} ${group}`);
      if (stream === undefined) {
        stream = (await transport.createUnidirectionalStream()).getWriter();
        groups.set(`${name} ${group}`, stream);
        const header = [...(withSubscribeId ? varint(id) : []), ...varint(alias), ...varint(group), 0, 128];
        await stream.write(Uint8Array.from([4, ...header]));
      }
      const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
      await stream.write(Uint8Array.from([...varint(object), ...varint(bytes.length)]));
      await stream.write(bytes);
      if (last) await stream.close();
    },
    // Resolves with the payloads of so many objects, as text.
    async received(name, count) {
      const found = await until(() => {
        const all = objects.filter(({ track }) => track === name);
        return all.length >= count ? all : undefined;
      });
      return found.map(({ group, object, payload }) => `${group}.${object} ${new TextDecoder().decode(payload)}`);
    },
    headers: () => headers,
    // Plays the track "init" and then the objects of "video" as they come; resolves when so many frames were shown.
    async play(codec, frames) {
      const video = document.createElement("video");
      video.muted = true;
      document.body.append(video);
      const source = new MediaSource();
      video.src = URL.createObjectURL(source);
      await new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
      const buffer = source.addSourceBuffer(codec);
      let fed = 0;
      let initialized = false;
      const feed = () => {
        if (buffer.updating) return;
        const next = initialized ? objects.filter(({ track }) => track === "video")[fed] : objects.find(({ track }) => track === "init");
        if (next === undefined) return;
        if (initialized) fed += 1;
        initialized = true;
        buffer.appendBuffer(next.payload);
      };
      buffer.addEventListener("updateend", feed);
      players.set(video, { feed });
      feed();
      await video.play();
      await new Promise((resolve, reject) => {
        video.addEventListener("error", () => reject(new Error(video.error.message)));
        const look = () => {
          if (video.getVideoPlaybackQuality().totalVideoFrames >= frames) resolve();
          else video.requestVideoFrameCallback(look);
        };
        look();
        video.addEventListener("timeupdate", look);
      });
      return { width: video.videoWidth, height: video.videoHeight, time: video.currentTime };
    },
    close: () => transport.close(),
  };
})();
