/** Text of others in a line for bash: always one word, whatever is in it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Whether bash takes the name for a variable's: other names never get into a line unquoted. */
export function isVariableName(name: string): boolean {
  return NAME.test(name);
}
