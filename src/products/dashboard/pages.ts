/** What the door shows when there is no app to show. Without script, and styled by the browser alone. */

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

export const failedPage = (output: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>The dashboard could not be built</title></head>
<body><h1>The dashboard could not be built</h1>
<p>If packages are missing, run <code>npm ci</code> in the checkout. Reload this page to try again.</p>
<pre>${escapeHtml(output)}</pre></body></html>
`;
