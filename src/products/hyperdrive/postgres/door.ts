/** PostgreSQL as a protocol of a configuration: what its sessions share beside the pool. */
import type { Backend } from "../backend.ts";
import type { Protocol } from "../doors.ts";
import { type Cancels, greetPostgres } from "./greeting.ts";
import { errorResponse, ProtocolError } from "./messages.ts";
import { PostgresOrigin } from "./origin.ts";

export function postgresDoor(): Protocol<PostgresOrigin> {
  const cancels: Cancels = new Map();
  let parameters: ReadonlyMap<string, string> | undefined;
  return {
    async connect(address, now) {
      const origin = await PostgresOrigin.connect(address, now);
      parameters = origin.parameters;
      return origin;
    },
    async serve(client, backend: Backend<PostgresOrigin>) {
      try {
        await greetPostgres(client, backend, () => parameters, cancels);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        client.end(errorResponse(error.message, "08P01", "FATAL"));
      }
    },
  };
}
