// The player's page: options from the query, playback by hls.js, and messages to and from the page that holds it.
(() => {
  const query = new URLSearchParams(location.search);
  const video = document.getElementById("video");
  const note = document.getElementById("note");
  const flag = (name, fallback) => (query.has(name) ? query.get(name) !== "false" : fallback);
  const base = location.pathname.replace(/\/(iframe|watch)$/, "");
  const how = new URLSearchParams();
  if (flag("dvrEnabled", false)) how.set("dvrEnabled", "true");
  else if (document.body.dataset.lowLatency !== undefined) how.set("protocol", "llhls");
  const manifest = `${base}/manifest/video.m3u8${how.size > 0 ? `?${how}` : ""}`;

  const seconds = (text) => {
    if (!text) return 0;
    if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
    const [, h = 0, m = 0, s = 0] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(text) ?? [];
    return Number(h) * 3600 + Number(m) * 60 + Number(s);
  };
  const startTime = seconds(query.get("startTime"));

  video.controls = flag("controls", true);
  video.loop = flag("loop", false);
  video.muted = flag("muted", false);
  video.autoplay = flag("autoplay", false);
  video.preload = query.get("preload") || "metadata";
  const poster = query.get("poster") || (document.body.dataset.live === undefined ? `${base}/thumbnails/thumbnail.jpg` : "");
  if (poster) video.poster = poster;
  const letterbox = query.get("letterboxColor");
  if (letterbox && CSS.supports("color", letterbox)) {
    document.documentElement.style.background = letterbox;
    document.body.style.background = letterbox;
    video.style.background = letterbox;
  }
  const primary = query.get("primaryColor");
  if (primary && CSS.supports("color", primary)) video.style.accentColor = primary;

  const say = (text) => {
    note.textContent = text;
    note.hidden = text === "";
  };

  // What the page outside may read, and the events it may hear of.
  const PROPERTIES = "autoplay controls currentTime duration ended loop muted paused preload volume".split(" ");
  const EVENTS =
    "abort canplay canplaythrough durationchange ended error loadeddata loadedmetadata loadstart pause play playing progress ratechange seeked seeking stalled suspend timeupdate volumechange waiting".split(
      " ",
    );
  const state = () => Object.fromEntries(PROPERTIES.map((name) => [name, Number.isNaN(video[name]) ? null : video[name]]));
  const tell = (message) => {
    if (parent !== window) parent.postMessage({ stream: true, ...message }, "*");
  };
  for (const event of EVENTS) video.addEventListener(event, () => tell({ event, state: state() }));
  addEventListener("message", async ({ data, source }) => {
    if (source !== parent || parent === window || data?.stream !== true) return;
    if (data.set && ["currentTime", "loop", "muted", "volume", "controls", "autoplay", "preload"].includes(data.set))
      video[data.set] = data.value;
    if (data.call === "pause") video.pause();
    if (data.call === "play") {
      const error = await video.play().then(
        () => null,
        (failure) => failure.message,
      );
      tell({ answer: data.id, error, state: state() });
    } else tell({ state: state() });
  });
  tell({ event: "ready", state: state() });

  const showTexts = () => {
    const wanted = query.get("defaultTextTrack");
    if (!wanted) return;
    for (const track of video.textTracks) if (track.language === wanted) track.mode = "showing";
  };

  let hls;
  const idle = () => {
    say("Stream has not yet started");
    setTimeout(load, 5000);
  };
  const load = async () => {
    const response = await fetch(manifest).catch(() => undefined);
    if (response?.status === 204) return idle();
    if (!response?.ok) return say(response === undefined ? "The video could not be loaded" : (await response.text()).trim());
    say("");
    if (window.Hls?.isSupported()) {
      const wanted = query.get("defaultTextTrack");
      hls = new Hls({
        startPosition: startTime || -1,
        capLevelToPlayerSize: true,
        ...(wanted && { subtitlePreference: { lang: wanted } }),
      });
      hls.subtitleDisplay = wanted !== null;
      hls.on(Hls.Events.ERROR, (_event, { fatal, details }) => {
        if (!fatal) return;
        say("The video could not be loaded");
        tell({ event: "error", error: details, state: state() });
      });
      hls.loadSource(manifest);
      hls.attachMedia(video);
    } else {
      video.src = manifest;
      video.addEventListener("loadedmetadata", () => {
        video.currentTime = startTime;
        showTexts();
      });
    }
  };
  load();

  fetch(`${base}/metadata/playerEnhancementInfo.json`)
    .then((response) => (response.ok ? response.json() : {}))
    .then(({ title, logo, channel_link, share_link }) => {
      if (title) {
        document.title = title;
        video.title = title;
      }
      const link = document.getElementById("logo");
      const https = (text) => (/^https:\/\//.test(text ?? "") ? text : undefined);
      if (https(logo)) {
        const image = document.createElement("img");
        image.src = logo;
        image.alt = title ?? "";
        // Where it cannot be had there is nothing, rather than a broken picture.
        image.addEventListener("error", () => image.remove());
        link.append(image);
        if (https(channel_link)) link.href = channel_link;
        link.hidden = false;
      }
      const share = document.getElementById("share");
      if (share_link) {
        share.hidden = false;
        share.addEventListener("click", () => navigator.clipboard?.writeText(share_link));
      }
    })
    .catch(() => undefined);

  // Shift-D shows what is played.
  const debug = document.getElementById("debug");
  addEventListener("keydown", (event) => {
    if (!event.shiftKey || event.key.toLowerCase() !== "d") return;
    debug.hidden = !debug.hidden;
    const level = hls?.levels?.[hls.currentLevel];
    debug.textContent = JSON.stringify(
      { rendition: level ? `${level.width}x${level.height}` : null, bandwidth: hls?.bandwidthEstimate ?? null, ...state() },
      null,
      1,
    );
  });
})();
