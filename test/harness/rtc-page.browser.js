// The script of rtc-page.ts: runs in Chromium, gives `window.calls`.
(() => {
  const { base, secret: own } = window.app;
  const peers = new Map();
  const channels = new Map();
  const peer = (session) => peers.get(session);

  async function api(method, path, body, secret = own) {
    const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json" };
    const answer = await fetch(`${base}${path}`, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    return { status: answer.status, body: await answer.json() };
  }

  const connected = (connection) =>
    new Promise((resolve, reject) => {
      const look = () => {
        if (connection.connectionState === "connected") resolve();
        if (connection.connectionState === "failed") reject(new Error("the connection has failed"));
      };
      connection.addEventListener("connectionstatechange", look);
      look();
    });

  async function statsOf(session, type, kind, mid) {
    const report = [...(await peer(session).getStats()).values()];
    const streams = report.filter((one) => one.type === type && one.kind === kind && (mid === undefined || one.mid === mid));
    return { report, streams };
  }

  const calls = {
    api,
    async open(withChannels = false, configuration = {}) {
      const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle", ...configuration });
      if (!withChannels) {
        const { body } = await api("POST", "/sessions/new");
        peers.set(body.sessionId, connection);
        return body.sessionId;
      }
      connection.createDataChannel("server-events");
      await connection.setLocalDescription();
      const { body } = await api("POST", "/sessions/new", { sessionDescription: connection.localDescription });
      peers.set(body.sessionId, connection);
      await connection.setRemoteDescription(body.sessionDescription);
      await connected(connection);
      return body.sessionId;
    },
    async push(session, { video, audio, codec, encodings }) {
      const connection = peer(session);
      const media = await navigator.mediaDevices.getUserMedia({
        ...(audio && { audio: true }),
        ...(video && { video: { width: 640, height: 480 } }),
      });
      const named = media.getTracks().map((track) => {
        const sendEncodings = track.kind === "video" && encodings !== undefined ? { sendEncodings: [...encodings] } : {};
        const transceiver = connection.addTransceiver(track, { direction: "sendonly", ...sendEncodings });
        if (track.kind === "video" && codec !== undefined) {
          const all = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
          transceiver.setCodecPreferences(all.filter(({ mimeType }) => [codec, "video/rtx"].includes(mimeType)));
        }
        return { transceiver, trackName: track.kind === "video" ? video : audio };
      });
      await connection.setLocalDescription();
      const tracks = named.map(({ transceiver: { mid }, trackName }) => ({ location: "local", mid, trackName }));
      const answer = await api("POST", `/sessions/${session}/tracks/new`, { sessionDescription: connection.localDescription, tracks });
      if (answer.body.sessionDescription !== undefined) {
        await connection.setRemoteDescription(answer.body.sessionDescription);
        await connected(connection);
      }
      return answer;
    },
    async pull(session, tracks) {
      const asked = tracks.map((track) => ({ location: "remote", ...track }));
      const answer = await api("POST", `/sessions/${session}/tracks/new`, { tracks: asked });
      if (answer.body.requiresImmediateRenegotiation === true) await calls.answer(session, answer.body.sessionDescription);
      return answer;
    },
    async answer(session, offer) {
      const connection = peer(session);
      await connection.setRemoteDescription(offer);
      await connection.setLocalDescription();
      const answer = await api("PUT", `/sessions/${session}/renegotiate`, { sessionDescription: connection.localDescription });
      await connected(connection);
      // Chromium decodes what something plays.
      for (const { receiver } of connection.getTransceivers()) {
        if (receiver.track === null || document.querySelector(`[data-track="${receiver.track.id}"]`) !== null) continue;
        const element = document.createElement(receiver.track.kind === "video" ? "video" : "audio");
        element.dataset.track = receiver.track.id;
        element.muted = true;
        element.srcObject = new MediaStream([receiver.track]);
        document.body.append(element);
        void element.play().catch(() => undefined);
      }
      return answer;
    },
    async offer(session) {
      await peer(session).setLocalDescription();
      return peer(session).localDescription?.toJSON();
    },
    accept: (session, answer) => peer(session).setRemoteDescription(answer),
    async addAudio(session) {
      const media = await navigator.mediaDevices.getUserMedia({ audio: true });
      const [transceiver] = peer(session).getTransceivers();
      await transceiver.sender.replaceTrack(media.getTracks()[0]);
      transceiver.direction = "sendonly";
    },
    addCamera: async (session) => {
      const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      for (const track of media.getTracks()) peer(session).addTransceiver(track, { direction: "sendonly" });
    },
    async route(session) {
      const report = await peer(session).getStats();
      const all = [...report.values()];
      const { selectedCandidatePairId } = all.find(({ type }) => type === "transport") ?? {};
      return report.get(report.get(selectedCandidatePairId)?.localCandidateId)?.candidateType;
    },
    codecs: () => RTCRtpSender.getCapabilities("video")?.codecs.map(({ mimeType }) => mimeType) ?? [],
    stopSending(session) {
      for (const { sender } of peer(session).getTransceivers()) void sender.replaceTrack(null);
    },
    async stats(session, type, kind, mid) {
      const sums = {};
      for (const stream of (await statsOf(session, type, kind, mid)).streams)
        for (const [name, value] of Object.entries(stream)) if (typeof value === "number") sums[name] = (sums[name] ?? 0) + value;
      return sums;
    },
    async codec(session, type, kind, mid) {
      const { report, streams } = await statsOf(session, type, kind, mid);
      return report.find(({ id }) => id === streams[0]?.codecId)?.mimeType;
    },
    async size(session, mid) {
      const { streams } = await statsOf(session, "inbound-rtp", "video", mid);
      return [streams[0]?.frameWidth ?? 0, streams[0]?.frameHeight ?? 0];
    },
    channel(session, id) {
      const channel = peer(session).createDataChannel(`channel-${id}`, { negotiated: true, id });
      const received = [];
      channel.addEventListener("message", ({ data }) => received.push(data));
      channels.set(`${session}/${id}`, { channel, received });
    },
    send(session, id, text) {
      const { channel } = channels.get(`${session}/${id}`);
      if (channel.readyState === "open") channel.send(text);
      else channel.addEventListener("open", () => channel.send(text), { once: true });
    },
    received: (session, id) => channels.get(`${session}/${id}`)?.received ?? [],
    close: (session) => peer(session).close(),
    state: (session) => peer(session).connectionState,
  };
  window.calls = calls;
})();
