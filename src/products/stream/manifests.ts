/** HLS playlists and the DASH manifest of what is encoded, made from the tracks' indexes. Pure: text out of rows. */

import type { Caption } from "./captions.ts";
import { bitratesOf, cut, secondsOf } from "./segments.ts";
import type { Track, TrackInfo } from "./tracks.ts";

export interface Playable {
  /** From the smallest to the largest. */
  readonly pictures: readonly Ready[];
  readonly sounds: readonly Ready[];
  readonly captions: readonly Caption[];
}
export type Ready = Track & { readonly info: TrackInfo };

/** A part of the video, in seconds. */
export interface Part {
  readonly from: number;
  readonly to: number;
}

/** What can be played of a video. */
export function playableOf(tracks: readonly Track[], captions: readonly Caption[]): Playable {
  const ready = tracks.filter((track): track is Ready => track.status === "ready" && track.info !== null && track.blob !== null);
  const pictures = ready.filter(({ kind }) => kind === "video").sort((a, b) => (a.info.height ?? 0) - (b.info.height ?? 0));
  return { pictures, sounds: ready.filter(({ kind }) => kind === "audio" || kind === "extra"), captions };
}

/** Only the picture nearest to a bandwidth in Mbit/s; a hint that says nothing is ignored (docs: Use your own player). */
export function hinted(playable: Playable, hint: string | null): Playable {
  const wanted = Number(hint ?? Number.NaN) * 1e6;
  if (!(wanted > 0) || !Number.isFinite(wanted)) return playable;
  const distance = ({ info }: Ready): number => Math.abs(bitratesOf(info).mean - wanted);
  const nearest = [...playable.pictures].sort((a, b) => distance(a) - distance(b))[0];
  return nearest === undefined ? playable : { ...playable, pictures: [nearest] };
}

const lines = (...all: readonly (string | false)[]): string => `${all.filter((line) => line !== false).join("\n")}\n`;
const quote = (text: string): string => `"${text.replace(/["\r\n]/g, " ")}"`;

/** The playlist of playlists. `query` is appended to each of them. */
export function masterPlaylist({ pictures, sounds, captions }: Playable, query = ""): string {
  const sound = sounds.length > 0;
  const loudest = Math.max(0, ...sounds.map(({ info }) => bitratesOf(info).peak));
  const media = sounds.map(({ id, label, isDefault }) => {
    const flags = isDefault ? "DEFAULT=YES,AUTOSELECT=YES" : "DEFAULT=NO,AUTOSELECT=YES";
    return `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="group_audio",NAME=${quote(label)},${flags},CHANNELS="2",URI="${id}.m3u8${query}"`;
  });
  const texts = captions.map(
    ({ language, label }) =>
      `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="group_subs",NAME=${quote(label)},LANGUAGE="${language}",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="captions-${language}.m3u8${query}"`,
  );
  const streams = pictures.flatMap(({ id, info }) => {
    const { peak, mean } = bitratesOf(info);
    const codecs = [info.codecs, ...(sound ? [sounds[0]?.info.codecs] : [])].join(",");
    const groups = `${sound ? ',AUDIO="group_audio"' : ""}${captions.length > 0 ? ',SUBTITLES="group_subs"' : ""}`;
    const rate = `BANDWIDTH=${peak + loudest},AVERAGE-BANDWIDTH=${mean + loudest}`;
    return [
      `#EXT-X-STREAM-INF:RESOLUTION=${info.width}x${info.height},CODECS="${codecs}",${rate},FRAME-RATE=${(info.fps ?? 30).toFixed(3)}${groups}`,
      `${id}.m3u8${query}`,
    ];
  });
  return lines("#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-INDEPENDENT-SEGMENTS", ...media, ...texts, ...streams);
}

/** The playlist of one track; of the segments that hold a part of it. */
export function trackPlaylist({ id, info }: Ready, part?: Part): string {
  const { first, count } = part === undefined ? { first: 0, count: info.segments.length } : cut(info, part.from, part.to);
  const shown = info.segments.slice(first, first + count);
  const longest = Math.max(...shown.map(([, seconds]) => seconds));
  return lines(
    ...[
      "#EXTM3U",
      "#EXT-X-VERSION:6",
      `#EXT-X-TARGETDURATION:${Math.ceil(longest)}`,
      "#EXT-X-MEDIA-SEQUENCE:0",
      "#EXT-X-PLAYLIST-TYPE:VOD",
    ],
    "#EXT-X-INDEPENDENT-SEGMENTS",
    `#EXT-X-MAP:URI="../segments/${id}/init.mp4"`,
    ...shown.flatMap(([, seconds], i) => [`#EXTINF:${seconds.toFixed(6)},`, `../segments/${id}/${first + i}.m4s`]),
    "#EXT-X-ENDLIST",
  );
}

/** The playlist of a caption file, which is one segment. */
export function captionPlaylist(language: string, seconds: number): string {
  const duration = Math.max(seconds, 0.001);
  return lines(
    ...[
      "#EXTM3U",
      "#EXT-X-VERSION:6",
      `#EXT-X-TARGETDURATION:${Math.ceil(duration)}`,
      "#EXT-X-MEDIA-SEQUENCE:0",
      "#EXT-X-PLAYLIST-TYPE:VOD",
    ],
    ...[`#EXTINF:${duration.toFixed(6)},`, `../captions/${language}.vtt`, "#EXT-X-ENDLIST"],
  );
}

const xml = (text: string): string => text.replace(/[<>&"']/g, (character) => `&#${character.codePointAt(0)};`);

export function dashManifest({ pictures, sounds, captions }: Playable): string {
  const seconds = Math.max(0, ...[...pictures, ...sounds].map(({ info }) => secondsOf(info)));
  const representation = ({ id, info }: Ready, attributes: string): string => {
    const timeline = info.segments.map(([, length]) => `<S d="${Math.round(length * 1000)}"/>`).join("");
    const files = `initialization="../segments/${id}/init.mp4" media="../segments/${id}/$Number$.m4s" startNumber="0" timescale="1000"`;
    const template = `<SegmentTemplate ${files}><SegmentTimeline>${timeline}</SegmentTimeline></SegmentTemplate>`;
    return `<Representation id="${id}" codecs="${info.codecs}" bandwidth="${bitratesOf(info).peak}" ${attributes}>${template}</Representation>`;
  };
  const video = pictures.map((track) => representation(track, `width="${track.info.width}" height="${track.info.height}"`));
  const audio = sounds.map(
    (track) =>
      `<AdaptationSet contentType="audio" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1"><Role schemeIdUri="urn:mpeg:dash:role:2011" value="${track.isDefault ? "main" : "alternate"}"/><Label>${xml(track.label)}</Label>${representation(track, 'audioSamplingRate="48000"')}</AdaptationSet>`,
  );
  const texts = captions.map(
    ({ language }) =>
      `<AdaptationSet contentType="text" mimeType="text/vtt" lang="${language}"><Role schemeIdUri="urn:mpeg:dash:role:2011" value="subtitle"/><Representation id="text-${language}" bandwidth="256"><BaseURL>../captions/${language}.vtt</BaseURL></Representation></AdaptationSet>`,
  );
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" mediaPresentationDuration="PT${seconds.toFixed(3)}S" minBufferTime="PT4S">`,
    '<Period id="0" start="PT0S">',
    `<AdaptationSet contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">${video.join("")}</AdaptationSet>`,
    ...audio,
    ...texts,
    "</Period></MPD>\n",
  ].join("\n");
}
