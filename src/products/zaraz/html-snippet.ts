/**
 * JavaScript that puts a piece of HTML at the end of the page, its scripts run in order. It needs no eval: a script element
 * is made anew, with the nonce that the page allows.
 */

/** The HTML is the zone's own, with values in it that are text (`plan.ts`). */
export function htmlSnippet(html: string): string {
  const literal = JSON.stringify(html).replace(/</g, "\\u003c");
  return `(function(h){var d=document,n=(d.currentScript||{}).nonce||"";function run(){var t=d.createElement("template");t.innerHTML=h;\
t.content.querySelectorAll("script").forEach(function(o){var s=d.createElement("script"),i;for(i=0;i<o.attributes.length;i++)\
s.setAttribute(o.attributes[i].name,o.attributes[i].value);if(!o.hasAttribute("async"))s.async=false;s.text=o.text;if(n)s.nonce=n;\
o.replaceWith(s)});d.body.appendChild(t.content)}if(d.body)run();else d.addEventListener("DOMContentLoaded",run)})(${literal})`;
}
