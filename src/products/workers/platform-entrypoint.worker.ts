/** Entrypoints that the platform adds to a Worker's module, to ask its process: their names begin with "@", and nobody is told of their calls. */
export const isPlatformEntrypoint = (name: string | null | undefined): boolean => name?.startsWith("@") === true;
