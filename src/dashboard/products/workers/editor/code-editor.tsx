/**
 * The text of one module in CodeMirror. It lives in a shadow root: there CodeMirror uses constructed style sheets, which
 * this page's policy allows, and no style elements, which it does not. A module's undo history stays while others are open.
 */
import { indentWithTab } from "@codemirror/commands";
import { css } from "@codemirror/lang-css";
import { html } from "@codemirror/lang-html";
import { javascript } from "@codemirror/lang-javascript";
import { json } from "@codemirror/lang-json";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { basicSetup } from "codemirror";
import { useEffect, useRef } from "react";

const languages: Readonly<Record<string, () => Extension>> = {
  js: javascript,
  mjs: javascript,
  cjs: javascript,
  html: () => html(),
  css,
  json,
};

const theme = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", color: "var(--ink)", backgroundColor: "var(--surface)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: 'ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace', lineHeight: "1.6" },
  ".cm-content": { caretColor: "var(--accent)" },
  ".cm-cursor": { borderLeftColor: "var(--accent)" },
  ".cm-gutters": { color: "var(--soft)", backgroundColor: "var(--surface)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "light-dark(#1b1f1a0a, #eceee80d)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "light-dark(#cfe3d8, #2b4a3b)",
  },
  ".cm-panels, .cm-tooltip": { color: "var(--ink)", backgroundColor: "var(--raised)", borderColor: "var(--line)" },
  ".cm-selectionMatch, .cm-searchMatch": { backgroundColor: "var(--warn-wash)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-wash)" },
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword, tags.tagName], color: "light-dark(#8a3ba8, #d3a2e8)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp, tags.attributeValue], color: "light-dark(#1c6b4d, #7fd3ab)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "light-dark(#9a4a00, #f0b37a)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName), tags.className], color: "light-dark(#1d5fa8, #8fbcf0)" },
  { tag: [tags.propertyName, tags.attributeName], color: "light-dark(#3d5a80, #a9c3e0)" },
  { tag: [tags.comment, tags.meta], color: "var(--soft)", fontStyle: "italic" },
]);

export default function CodeEditor({
  name,
  text,
  onChange,
  onRun,
}: {
  name: string;
  text: string;
  onChange(text: string): void;
  onRun(): void;
}) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const kept = useRef(new Map<string, EditorState>());
  const latest = useRef({ onChange, onRun, text });
  latest.current = { onChange, onRun, text };

  useEffect(() => {
    const element = host.current as HTMLDivElement;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const editor = new EditorView({ root, parent: root });
    view.current = editor;
    return () => editor.destroy();
  }, []);

  useEffect(() => {
    const editor = view.current as EditorView;
    const states = kept.current;
    const run = () => {
      latest.current.onRun();
      return true;
    };
    const fresh = () =>
      EditorState.create({
        doc: latest.current.text,
        extensions: [
          keymap.of([{ key: "Mod-Enter", run }, { key: "Mod-s", run, preventDefault: true }, indentWithTab]),
          basicSetup,
          theme,
          syntaxHighlighting(colours),
          languages[name.split(".").at(-1) ?? ""]?.() ?? [],
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": `Code of ${name}`, "aria-description": "Escape, then Tab leaves the editor" }),
          EditorView.updateListener.of((update) => update.docChanged && latest.current.onChange(update.state.doc.toString())),
        ],
      });
    const before = states.get(name);
    editor.setState(before?.doc.toString() === latest.current.text ? before : fresh());
    return () => void states.set(name, editor.state);
  }, [name]);

  return <div ref={host} className="h-full min-h-0 overflow-hidden" />;
}
