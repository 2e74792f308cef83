/** Hyperdrive in the REST API. */
export const CONFIGS = "/hyperdrive/configs";

export interface Config {
  readonly id: string;
  readonly name: string;
  readonly origin: {
    readonly scheme: string;
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
  };
  readonly caching: { readonly disabled: boolean; readonly max_age?: number; readonly stale_while_revalidate?: number };
  readonly origin_connection_limit?: number;
  readonly created_on: string;
}

export const configPath = (id: string): string => `${CONFIGS}/${id}`;
export const addressOf = ({ origin }: Config): string => `${origin.scheme}://${origin.host}:${origin.port}/${origin.database}`;
