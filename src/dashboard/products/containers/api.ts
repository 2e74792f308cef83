/** Containers in the REST API. */
export const CONTAINERS = "/containers";
export const APPLICATIONS = `${CONTAINERS}/dash/applications`;

export interface Health {
  readonly active: number;
  readonly starting: number;
}

export interface ApplicationSummary {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly image: string;
  readonly updated_at: string;
  readonly health: { readonly instances: Health };
}

export interface Application {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly updated_at: string;
  readonly max_instances: number;
  readonly configuration: {
    readonly image: string;
    readonly instance_type?: string;
    readonly vcpu?: number;
    readonly memory_mib?: number;
    readonly disk?: { readonly size_mb?: number };
  };
  readonly durable_objects: { readonly namespace_id: string };
}

export interface Instance {
  readonly id: string;
  readonly app_version: number;
  readonly created_at: string;
  readonly durable_object_id: string;
  readonly current_placement: { readonly status: { readonly container_status: string } };
}

export interface Rollout {
  readonly id: string;
  readonly created_at: string;
  readonly description: string;
  readonly status: string;
  readonly current_version: number;
  readonly target_version: number;
}

export const applicationPath = (id: string): string => `${CONTAINERS}/applications/${id}`;
export const instancesPath = (id: string): string => `${APPLICATIONS}/${id}/instances`;
