/**
 * The one typed configuration. Each key has a default and a doc line; unknown keys are refused with the nearest known
 * one named. Read from `--config FILE` (JSON), overridden by flags of the command line.
 */
import { existsSync, readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { nearest } from "./nearest.ts";

interface Key<T> {
  readonly default: T;
  readonly doc: string;
  /** Throws when the value is out of range. */
  readonly check?: (value: T) => void;
}

const key = <T extends string | number | boolean | readonly string[]>(
  value: T,
  doc: string,
  check?: (value: Widen<T>) => void,
): Key<Widen<T>> => ({ default: value as unknown as Widen<T>, doc, ...(check && { check }) }) as Key<Widen<T>>;

type Widen<T> = T extends string ? string : T extends number ? number : T extends boolean ? boolean : readonly string[];

const positive = (value: number): void => {
  if (!Number.isFinite(value) || value <= 0) throw new Error("must be a number above 0");
};

const dimensions = (value: number): void => {
  if (!Number.isInteger(value) || value < 1 || value > 1536) throw new Error("must be a whole number from 1 to 1536");
};

const ports = (values: readonly string[]): void => {
  for (const value of values)
    if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535) throw new Error("must be a list of ports, as strings; 0 is a free one");
};

const portRange = (value: string): void => {
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(value) ?? [];
  if (value !== "" && !(Number(first) >= 1 && Number(first) <= Number(last) && Number(last) <= 65_535))
    throw new Error("must be two ports, for example 49152-65535");
};

const networks = (values: readonly string[]): void => {
  for (const value of values) {
    const [address = "", bits = "32"] = value.split("/");
    if (!isIPv4(address) || !(Number(bits) >= 0 && Number(bits) <= 32)) throw new Error("must be a list of IPv4 networks, as 10.0.0.0/8");
  }
};

/** Every key. The dotted prefix is the product or part that reads it; sizes in bytes, times in the unit of the name. */
export const configKeys = {
  domain: key("freehold.localhost", "Domain of the platform's host names; `*.localhost` needs no DNS on the same machine"),
  "log.level": key("info", "debug, info, warn or error"),
  "log.json": key(false, "One JSON object a line, also on a terminal"),
  "audit.retention_days": key(548, "Entries of the audit log are deleted after this many days", positive),
  "gateway.body_max_bytes": key(100 * 1024 * 1024, "Largest request body to a Worker", positive),
  "gateway.header_timeout_ms": key(30_000, "Time in which a client must send its request head", positive),
  "gateway.body_idle_timeout_ms": key(30_000, "A client whose body makes no progress for this long is answered 408", positive),
  "gateway.tls_port": key(0, "Port for HTTPS with the platform's own certificates; 0 = a free one"),
  "dashboard.session_ttl_s": key(7 * 24 * 3600, "Who signed in to the dashboard must do so again after this long", positive),
  "runtime.idle_timeout_s": key(120, "A Worker's process stops after this long without work", positive),
  "runtime.start_timeout_ms": key(10_000, "A Worker's process must serve within this time", positive),
  "runtime.drain_timeout_ms": key(30_000, "On deploy, requests in flight on the old version may take this long", positive),
  "runtime.system_hang_timeout_ms": key(
    35_000,
    "The process with the engines (D1) is restarted after answering nothing for this long; no query may run longer",
    positive,
  ),
  "runtime.memory_mb": key(128, "Heap of one Worker's process", positive),
  "runtime.memory_outside_mb": key(
    512,
    "Memory of one Worker's process beside its heap: buffers, WebAssembly, and some 200 MB that V8 and allocators keep under load",
    positive,
  ),
  "runtime.processes_max": key(500, "Most Worker processes at a time", positive),
  "runtime.outbound_allow": key(
    ["public"] as readonly string[],
    "Networks that fetch() of Workers may reach (workerd's notation); private ones are refused by default",
  ),
  "runtime.trusted_certificates": key(
    [] as readonly string[],
    "PEM files of authorities that fetch() and connect() of Workers trust besides the public ones",
    (paths) => {
      for (const path of paths) if (!existsSync(path)) throw new Error(`names a file that does not exist: ${path}`);
    },
  ),
  "journal.segment_bytes": key(64 * 1024 * 1024, "Size at which a journal starts a new segment file", positive),
  "journal.pending_max_bytes": key(64 * 1024 * 1024, "Bytes waiting for the disk past which appends are refused", positive),
  "ai_gateway.providers": key(
    [] as readonly string[],
    "Providers of one's own, or other addresses of known ones, as lines slug=URL; these may be private: ollama=http://127.0.0.1:11434/v1",
    (lines) => {
      for (const line of lines)
        if (!/^[a-z0-9][a-z0-9-]*=https?:\/\/\S+$/.test(line)) throw new Error(`must have lines slug=URL, not "${line}"`);
    },
  ),
  "ai_gateway.private_providers": key(false, "Custom providers that users define may have private addresses, and http"),
  "ai_gateway.gateways_max": key(20, "Gateways of the account", positive),
  "ai_gateway.request_max_bytes": key(100 * 1024 * 1024, "Largest request to a provider; it is held in memory for its retries", positive),
  "ai_gateway.cache_max_bytes": key(256 * 1024 * 1024, "Memory for cached responses of providers", positive),
  "ai_gateway.cache_ttl_min_s": key(60, "Shortest life of a cached response; the real service documents 60", positive),
  "ai_gateway.logs_max": key(100_000, "Logs of one gateway, where it does not set less; the real service has up to 10,000,000", positive),
  "ai_search.instances_max": key(50, "AI Search instances of the account", positive),
  "ai_search.items_max": key(1_000_000, "Files of one instance", positive),
  "ai_search.file_max_bytes": key(4_000_000, "Largest file that is indexed", positive),
  "ai_search.sync_interval_s": key(21_600, "Time between scheduled jobs of instances that set no other", positive),
  "ai_search.sync_cooldown_s": key(30, "Time after a job that a user has asked for before the next one may be"),
  "ai_search.jobs_at_once": key(2, "Instances whose files are indexed at a time", positive),
  "ai_search.files_at_once": key(4, "Files of one instance that are indexed at a time", positive),
  "ai_search.threads": key(1, "Threads that hold instances and search them", positive),
  "ai_search.memory_mb": key(512, "Memory for the vectors that searches scan; larger instances are scanned from their files", positive),
  "ai_search.answers_max": key(10_000, "Answers that the similarity cache keeps for one instance", positive),
  "pages.projects_max": key(100, "Projects of the account", positive),
  "pages.files_max": key(20_000, "Files of one deployment; the real service has 20,000, and 100,000 on paid plans", positive),
  "pages.build_timeout_s": key(1_200, "A build that takes longer is ended", positive),
  "pages.builds_at_once": key(1, "Builds that run at a time; the real service's Free plan has 1, others 5 and 20", positive),
  "pages.builds_waiting_max": key(100, "Builds that may wait for their turn", positive),
  "pages.build_memory_mb": key(8_192, "Memory of a build with all its processes", positive),
  "pages.build_processes_max": key(1_024, "Processes and threads of a build", positive),
  "pages.build_disk_mb": key(20_480, "What the files of a build may take up while it runs", positive),
  "pages.build_cache_mb": key(10_240, "Largest build cache of a project", positive),
  "pages.build_uid": key(64_000, "User and group id that builds run as where the platform is root", positive),
  "pages.build_tools": key(
    [] as readonly string[],
    "Directories of programs that builds see besides /usr; their .bin and bin come first in PATH",
  ),
  "pages.private_hosts": key(
    [] as readonly string[],
    'Private hosts ("host" or "host:port") that builds and fetches of repositories may reach',
  ),
  "pages.git_push_max_bytes": key(500_000_000, "Largest push to a repository of the platform", positive),
  "mcp.code_timeout_ms": key(30_000, "Time, and CPU time, of code that a model has run by the tools search and execute", positive),
  "mcp.code_at_once": key(4, "Runs of such code at a time; each is a process of its own", positive),
  "mcp.code_requests": key(1_000, "Requests to the REST API of one run", positive),
  "browser_rendering.chromium": key("", "Path of a Chromium or Chrome; empty: the first that is found on PATH"),
  "browser_rendering.user": key("nobody", "User that browsers run as where the platform is root; empty: root, which needs sandbox false"),
  "browser_rendering.sandbox": key(true, "Chromium's own sandbox around pages; false only where all pages are trusted"),
  "browser_rendering.private_hosts": key(
    [] as readonly string[],
    "Hosts (host or host:port) that pages may reach although their addresses are private or local",
  ),
  "browser_rendering.memory_mb": key(2048, "Memory of one browser with all its processes; past it the browser is ended", positive),
  "browser_rendering.actions_at_once": key(4, "REST actions that are done at a time, in one browser", positive),
  "browser_rendering.actions_waiting_max": key(100, "REST actions that may wait for their turn before 429"),
  "browser_rendering.json_model": key("@cf/meta/llama-3.3-70b-instruct-fp8-fast", "Model of Workers AI for the action json"),
  "browser_rendering.sessions_max": key(30, "Browsers that Workers have open at a time", positive),
  "browser_rendering.idle_timeout_s": key(
    60,
    "A browser that gets no commands for this long is closed, unless its Worker asked for longer",
    positive,
  ),
  "browser_rendering.sessions_per_min": key(30, "Browsers a minute that Workers may open, spread evenly; 0 = unlimited"),
  "browser_rendering.actions_per_min": key(600, "REST actions a minute, spread evenly, before 429; 0 = unlimited"),
  "cache.max_bytes": key(1024 ** 3, "Bytes of responses that the content cache (`caches` of Workers) holds", positive),
  "cache.object_max_bytes": key(512 * 1024 ** 2, "Largest response that the content cache stores", positive),
  "kv.write_per_key_per_s": key(0, "Writes a second to one key before 429; the real service has 1, 0 = unlimited"),
  "kv.namespaces_max": key(1000, "Namespaces of the account", positive),
  "email_routing.sent_max": key(1_000, "Messages sent by Workers that are kept; the oldest go first", positive),
  "email_routing.sent_max_bytes": key(1024 ** 3, "Bytes of such messages that are kept", positive),
  "email_routing.smtp_port": key(0, "Port on which mail is received by SMTP; 0 = none is. Servers of others come to port 25"),
  "email_routing.smtp_host": key("127.0.0.1", "Address on which mail is received; 0.0.0.0 and :: are all of this machine's"),
  "email_routing.hostname": key("", "Name of this machine as a mail server, with A, AAAA and PTR records; empty: mail.<domain>"),
  "email_routing.mx_hosts": key([] as readonly string[], "Names that the MX records of zones point to; empty: email_routing.hostname"),
  "email_routing.tls_certificate": key("", "PEM file of a certificate for the host name; with the key, STARTTLS is offered"),
  "email_routing.tls_key": key("", "PEM file of its key"),
  "email_routing.connections_max": key(20, "SMTP connections at a time; each may hold a message of 25 MiB", positive),
  "email_routing.dnsbls": key([] as readonly string[], "DNS block lists: mail from clients on one of them is refused"),
  "email_routing.dns_servers": key([] as readonly string[], "DNS servers (address or address:port) for mail; empty: the system's"),
  "email_routing.outbound": key(
    "none",
    'How mail leaves: "none" keeps it here, "mx" goes to the recipients\' servers, smtp:// and smtps:// URLs are a relay',
    (way) => {
      if (way !== "none" && way !== "mx" && !/^smtps?:\/\/./.test(way))
        throw new Error('must be "none", "mx", or a URL like smtp://user:password@host:587');
    },
  ),
  "email_routing.outbound_port": key(25, "Port of the recipients' servers", positive),
  "email_routing.private_destinations": key(false, "Mail may be delivered to servers at private and local addresses"),
  "email_routing.rules_max": key(200, "Routing rules of a zone", positive),
  "email_routing.addresses_max": key(200, "Destination addresses of the account", positive),
  "durable_objects.object_max_bytes": key(10 * 1024 ** 3, "Largest database of a Durable Object", positive),
  "durable_objects.value_max_bytes": key(2 * 1024 ** 2, "Largest value, bound parameters of a statement together", positive),
  "durable_objects.history_interval_s": key(
    3600,
    "How often changed Durable Objects are copied for point-in-time recovery; 0 = only when they ask",
  ),
  "durable_objects.history_max_bytes": key(10 * 1024 ** 3, "Bytes of these copies, of 30 days at most; the oldest go first", positive),
  "durable_objects.calls_max": key(10_000, "Calls that one Durable Object has in hand before it refuses more as overloaded; 0 = unlimited"),
  "durable_objects.calls_per_10_s_max": key(0, "Calls of one Durable Object in ten seconds before it refuses more; 0 = unlimited"),
  "d1.database_max_bytes": key(10 * 1024 ** 3, "Largest database", positive),
  "d1.databases_max": key(50_000, "Databases of the account", positive),
  "d1.history_interval_s": key(60, "How often changed databases are copied for Time Travel; 0 = only when a bookmark is asked for"),
  "d1.history_max_bytes": key(20 * 1024 ** 3, "Bytes of these copies, of 30 days at most; the oldest go first", positive),
  "d1.restores_per_10_min_max": key(10, "Time Travel restores of one database in ten minutes", positive),
  "containers.docker_socket": key("/var/run/docker.sock", "Unix socket of the container engine, which speaks Docker's API"),
  "containers.layer_max_bytes": key(20_000_000_000, "Largest layer of an image", positive),
  "containers.linger_s": key(
    300,
    "An instance runs on for this long after its object has left memory and nobody has called it since",
    positive,
  ),
  "containers.metrics_s": key(10, "Time between two looks at what an instance uses", positive),
  "containers.rollout_step_s": key(30, "Time between two steps of a rollout", positive),
  "containers.stop_grace_s": key(900, "An instance that is told to stop is killed after this long", positive),
  "queues.queues_max": key(10_000, "Queues of the account", positive),
  "queues.messages_per_s_max": key(0, "Messages a second that one queue takes before 429; the real service has 5,000, 0 = unlimited"),
  "queues.backlog_max_bytes": key(25_000_000_000, "Bytes that one queue holds before it refuses more with 429", positive),
  "queues.concurrency_max": key(250, "Most invocations of one consumer at a time", positive),
  "r2.buckets_max": key(1_000_000, "Buckets of the account", positive),
  "r2.object_max_bytes": key(5 * 1024 ** 4, "Largest object", positive),
  "r2.write_per_key_per_s": key(0, "Writes a second to one key before 429; the real service has 1, 0 = unlimited"),
  "r2.lifecycle_interval_s": key(3600, "How often lifecycle rules are carried out", positive),
  "r2.local_copies_bytes": key(
    1024 ** 3,
    "Disk for objects in many parts that queries read as files, kept a minute for the next query",
    positive,
  ),
  "r2.sippy_allow_private": key(false, "Sippy may read from servers at private and local addresses"),
  "r2.sippy_aws_endpoint": key("https://s3.{region}.amazonaws.com", "Where Sippy finds buckets of its provider AWS"),
  "r2.sippy_gcs_endpoint": key("https://storage.googleapis.com", "Where Sippy finds buckets of its provider GCS"),
  "r2.sippy_gcs_token_url": key("https://oauth2.googleapis.com/token", "Where a service account's key is exchanged for a token"),
  "r2.single_put_max_bytes": key(5 * 1024 ** 3, "Largest object in one request", positive),
  "pipelines.streams_max": key(20, "Streams of the account", positive),
  "pipelines.sinks_max": key(20, "Sinks of the account", positive),
  "pipelines.pipelines_max": key(20, "Pipelines of the account", positive),
  "pipelines.payload_max_bytes": key(1_000_000, "Largest ingest request", positive),
  "pipelines.rate_max_bytes_per_s": key(0, "Bytes a second that one stream takes before 429; 0 = unlimited"),
  "pipelines.shard_rate_max_bytes_per_s": key(
    0,
    "Bytes a second that one shard of a legacy pipeline takes before 429; 0 = unlimited, the real service documents 7 MB/s",
  ),
  "pipelines.buffer_max_bytes": key(
    16 * 1024 ** 3,
    "Events that one stream keeps for its pipelines, or one shard of a legacy pipeline; past it requests are answered 429",
    positive,
  ),
  "pipelines.memory_mb": key(1024, "Memory that pipelines may use together for SQL and files before they spill to disk", positive),
  "pipelines.roll_timeout_s": key(300, "SQL may take this long for the events of one file before it is given up and tried later", positive),
  "pipelines.roll_file_max_bytes": key(8 * 1024 ** 3, "Largest file that SQL may make of the events of one roll", positive),
  "pipelines.roll_min_s": key(1, "Shortest roll interval of a sink; the real service documents 10", positive),
  "moq.quic": key(false, "Whether MoQ listens for WebTransport; without it sessions come by WebSocket only"),
  "moq.host": key("127.0.0.1", "Address on which MoQ takes WebTransport by UDP; 0.0.0.0 is every one of this machine"),
  "moq.port": key(4443, "UDP port of it; 0 = a free one"),
  "moq.certificate": key("", "PEM file of a certificate for that port; empty: a short-lived one that browsers trust by its hash"),
  "moq.key": key("", "PEM file of its key"),
  "moq.open": key(false, "Whether sessions without a token are let into a relay of their own, to publish and to subscribe"),
  "moq.subgroup_subscribe_id": key(
    true,
    "Whether subgroup headers have the Subscribe ID that the real service's have and the draft's have not",
  ),
  "moq.relays_max": key(1000, "MoQ relays of the account", positive),
  "moq.sessions_max": key(1000, "Sessions of all MoQ relays at a time", positive),
  "moq.subscriptions_max": key(200, "Subscriptions of one session at a time", positive),
  "moq.announces_max": key(100, "Namespaces that one session may announce", positive),
  "moq.setup_timeout_ms": key(10_000, "Time in which a session must be set up", positive),
  "moq.object_max_bytes": key(16 * 1024 * 1024, "Largest object of a track", positive),
  "moq.groups_kept": key(2, "Newest groups of a track that are kept for who subscribes later", positive),
  "moq.track_max_bytes": key(32 * 1024 * 1024, "Bytes of a track that are kept", positive),
  "moq.groups_behind_max": key(2, "A subscriber loses groups that are so many older than the newest", positive),
  "moq.queue_max_bytes": key(16 * 1024 * 1024, "Bytes that may wait for one subscription before it loses its oldest group", positive),
  "privacy_gateway.applications": key(
    [] as readonly string[],
    "Applications that are reached through the OHTTP relay, as lines application=URL of its gateway; these may be private: news=http://127.0.0.1:8080/gateway",
    (lines) => {
      for (const line of lines)
        if (!/^[a-z0-9][a-z0-9-]*=https?:\/\/\S+$/.test(line)) throw new Error(`must have lines application=URL, not "${line}"`);
    },
  ),
  "privacy_gateway.body_max_bytes": key(16 * 1024 * 1024, "Largest encapsulated request", positive),
  "privacy_gateway.timeout_ms": key(60_000, "Time in which an application's gateway must answer", positive),
  "privacy_gateway.retention_days": key(124, "Metrics of relayed requests are deleted after this many days", positive),
  "r2_data_catalog.credential_ttl_s": key(
    12 * 3600,
    "Life of the S3 keys that engines get with a table; they never outlive a revoked token",
    positive,
  ),
  "r2_data_catalog.maintenance_jobs": key(1, "Tables that are compacted or freed of old snapshots at a time", positive),
  "r2_data_catalog.maintenance_poll_s": key(60, "How often due tables are looked for; the interval of a table is one hour", positive),
  "r2_data_catalog.maintenance_memory_mb": key(512, "Memory of one maintenance job before it spills to disk", positive),
  "r2_data_catalog.maintenance_timeout_s": key(1800, "A maintenance run begins no further file after this long", positive),
  "r2_data_catalog.compaction_bytes_per_hour": key(
    2 * 1024 ** 3,
    "Bytes of data files that compaction reads of one table in an hour",
    positive,
  ),
  "r2_data_catalog.delete_expired_files": key(
    true,
    "Expiring snapshots also deletes files that no other snapshot names; false leaves them in the bucket",
  ),
  "r2_data_catalog.rate_limits": key(false, "The real service's limits on writes a minute (docs, Basin Catalog, Limits); off by default"),
  "r2_sql.strict": key(false, "The older strict R2 SQL dialect with its documented refusals"),
  "r2_sql.memory_mb": key(1024, "Memory that R2 SQL queries may use together before they spill to disk", positive),
  "r2_sql.query_timeout_s": key(120, "A query is ended after this long, which begins with its turn", positive),
  "r2_sql.queries_at_once": key(4, "R2 SQL queries that run at a time, each in a process of its own; they share the memory", positive),
  "r2_sql.queries_waiting_max": key(100, "R2 SQL queries that may wait for their turn before 429", positive),
  "r2_sql.wait_timeout_s": key(300, "A query that waited this long for its turn is refused with 429", positive),
  "r2_sql.metadata_cache_bytes": key(256 * 1024 * 1024, "Memory for manifests of tables that were queried", positive),
  "observability.retention_days": key(
    7,
    "Logs and traces of Workers are deleted after this long; the real service's are 3 and 7",
    positive,
  ),
  "observability.stored_max_bytes": key(20 * 1024 ** 3, "Bytes of stored logs and traces past which the oldest go first", positive),
  "observability.daily_events_max": key(5_000_000_000, "Events of a day past which one invocation in a hundred is kept", positive),
  "observability.roll_bytes": key(16 * 1024 * 1024, "Recent events of this size become a file before their hour is over", positive),
  "observability.pending_max_bytes": key(64 * 1024 * 1024, "Events that wait to become files; past it new ones are lost", positive),
  "observability.memory_mb": key(512, "Memory for queries of logs and traces, and for writing them", positive),
  "observability.query_timeout_ms": key(30_000, "A query of logs and traces may take this long", positive),
  "notifications.private_destinations": key(false, "Notifications may be sent to webhooks at private and local addresses"),
  "observability.private_destinations": key(false, "Telemetry may be exported to private addresses, too"),
  "observability.destinations_max": key(50, "Destinations that telemetry is exported to", positive),
  "analytics_engine.retention_days": key(92, "Data points are deleted after this long; the real service keeps them three months", positive),
  "analytics_engine.stored_max_bytes": key(20 * 1024 ** 3, "Bytes of stored data points past which the oldest go first", positive),
  "analytics_engine.roll_bytes": key(32 * 1024 * 1024, "Recent data points of this size become a file before their day is over", positive),
  "analytics_engine.pending_max_bytes": key(
    128 * 1024 * 1024,
    "Data points that wait to become files; past it new ones are lost",
    positive,
  ),
  "analytics_engine.memory_mb": key(512, "Memory for queries of data points, and for writing them", positive),
  "analytics_engine.query_timeout_ms": key(30_000, "A query of data points may take this long", positive),
  "analytics_engine.result_rows_max": key(100_000, "Rows of a query's result", positive),
  "analytics_engine.result_max_bytes": key(64 * 1024 * 1024, "Bytes of a query's result", positive),
  "workers_vpc.tunnels_max": key(1000, "Tunnels of the account", positive),
  "workers_vpc.connectors_max": key(100, "Connections of connectors to one tunnel", positive),
  "workers_vpc.streams_max": key(256, "Connections of Workers open at once by one connector of a tunnel", positive),
  "workers_vpc.services_max": key(1000, "VPC services of the account", positive),
  "workers_vpc.connect_timeout_ms": key(15_000, "Time in which a connector must reach a VPC service", positive),
  "hyperdrive.configs_max": key(25, "Hyperdrive configurations of the account", positive),
  "hyperdrive.private_origins": key(false, "Databases may have private and local addresses"),
  "hyperdrive.plaintext_origins": key(false, "Databases that offer no TLS are spoken to in the clear"),
  "hyperdrive.connections_max": key(100, "Most connections that a configuration may ask for to its database", positive),
  "hyperdrive.connections_default": key(60, "Connections to a database whose configuration does not say how many", positive),
  "hyperdrive.connect_timeout_ms": key(15_000, "Time in which a database must accept a connection", positive),
  "hyperdrive.acquire_timeout_ms": key(15_000, "A query waits this long for a connection to its database", positive),
  "hyperdrive.idle_timeout_ms": key(600_000, "An unused connection to a database is closed after this long", positive),
  "hyperdrive.query_timeout_ms": key(60_000, "A query that takes longer is cancelled", positive),
  "hyperdrive.result_max_bytes": key(50_000_000, "Largest result that is cached", positive),
  "hyperdrive.cache_max_bytes": key(256 * 1024 * 1024, "Memory for cached results of all configurations", positive),
  "realtime.apps_max": key(1000, "Apps of the SFU", positive),
  "realtime.sfu_host": key("127.0.0.1", "Address on which the SFU takes media by UDP; 0.0.0.0 is every one of this machine"),
  "realtime.sfu_port": key(0, "Port of it; 0 = a free one"),
  "realtime.sfu_addresses": key(
    [] as readonly string[],
    "Addresses by which clients reach the SFU, where they are others than this machine's own: behind a NAT, the public one",
  ),
  "realtime.sfu_sessions_max": key(1000, "Sessions of the SFU at a time", positive),
  "realtime.sfu_session_bits_per_s": key(20_000_000, "Bits a second that the client of a session may send", positive),
  "realtime.sfu_track_timeout_ms": key(30_000, "A track without packets for so long ends", positive),
  "realtime.turn_keys_max": key(1000, "TURN keys of the account", positive),
  "realtime.turn_host": key("127.0.0.1", "Address on which TURN and STUN listen; 0.0.0.0 is every one of this machine"),
  "realtime.turn_name": key("", "Name of this machine in the URLs that clients of TURN get; empty: turn.<domain>"),
  "realtime.turn_udp_ports": key(
    ["0"] as readonly string[],
    "Ports of TURN and STUN over UDP (usually 3478 and 53); 0 = a free one",
    ports,
  ),
  "realtime.turn_tcp_ports": key(["0"] as readonly string[], "Ports of TURN over TCP (usually 3478 and 80); 0 = a free one", ports),
  "realtime.turn_tls_ports": key(["0"] as readonly string[], "Ports of TURN over TLS (usually 5349 and 443); 0 = a free one", ports),
  "realtime.turn_tls_certificate": key("", "PEM file of a certificate for TURN's name; empty: one of the platform's own authority"),
  "realtime.turn_tls_key": key("", "PEM file of its key"),
  "realtime.turn_connections_max": key(1000, "Connections of TURN over TCP and TLS at a time", positive),
  "realtime.relay_host": key("", "Address of this machine at which TURN's relays are bound; empty: realtime.turn_host"),
  "realtime.relay_address": key("", "Address by which relays are reached from outside; empty: the one that they are bound to"),
  "realtime.relay_ports": key("", "Ports of relays, for example 49152-65535; empty: any", portRange),
  "realtime.relay_private_peers": key(
    [] as readonly string[],
    "Networks beside the public Internet to which TURN relays: 10.0.0.0/8, or an address. Private ones are refused by default",
    networks,
  ),
  "realtime.relay_allocations_max": key(1000, "Allocations of TURN at a time", positive),
  "realtime.relay_new_peers_per_s": key(
    5,
    "Addresses that are new to an allocation, of each second; packets to more are dropped",
    positive,
  ),
  "realtime.relay_packets_per_s": key(10_000, "Packets of an allocation in each direction; more are dropped", positive),
  "realtime.relay_bits_per_s": key(100_000_000, "Bits of an allocation in each direction; more are dropped", positive),
  "secrets_store.stores_max": key(1, "Stores of the account", positive),
  "secrets_store.secrets_max": key(100, "Secrets of the account, in all its stores", positive),
  "vectorize.indexes_max": key(50_000, "Indexes of the account", positive),
  "vectorize.dimensions_max": key(1536, "Dimensions of an index's vectors; more than 1,536 cannot be searched", dimensions),
  "vectorize.vectors_max": key(10_000_000, "Vectors of one index", positive),
  "vectorize.namespaces_max": key(50_000, "Namespaces of one index", positive),
  "vectorize.threads": key(2, "Threads that hold indexes and search them", positive),
  "vectorize.memory_mb": key(1024, "Memory for what searches scan, of all indexes; larger indexes are scanned from their files", positive),
  "vectorize.backlog_max_bytes": key(4 * 1024 ** 3, "Changes that wait to take effect; past it more are refused with 429", positive),
  "vectorize.cursor_ttl_s": key(3600, "Life of a list's cursor, and of deleted ids for lists that began before", positive),
  "images.transforms_at_once": key(2, "Pictures that are worked on at a time; others wait", positive),
  "images.transforms_waiting_max": key(200, "Pictures that may wait for their turn before error 9522", positive),
  "images.transformations_per_month": key(
    0,
    "Unique transformations of a month before error 9422; the real service's free plan has 5,000, 0 = unlimited",
  ),
  "images.hosted_max": key(100_000, "Hosted images of the account, drafts included", positive),
  "constellation.onnxruntime": key("", "Directory of the npm package onnxruntime-web; empty: the one beside Freehold, if it is installed"),
  "constellation.catalog": key("", "Directory of models for every project: folders with .onnx or .json files; empty: no catalog"),
  "constellation.model_max_bytes": key(10 * 1024 * 1024, "Largest model", positive),
  "constellation.models_loaded_max": key(
    4,
    "Models that are loaded at a time, each in a thread; the least recently used make room",
    positive,
  ),
  "constellation.model_memory_mb": key(256, "Memory that ONNX Runtime may use for one model", positive),
  "constellation.load_timeout_ms": key(60_000, "Loading a model is ended after this long", positive),
  "constellation.run_timeout_ms": key(30_000, "One run of a model is ended after this long", positive),
  "constellation.runs_waiting_max": key(200, "Runs that may wait for one model; more are refused with 429", positive),
  "constellation.input_max_bytes": key(16 * 1024 * 1024, "Largest inputs of a run, as JSON", positive),
  "stream.ffmpeg": key("", "Path of ffmpeg; empty: the first that is found on PATH"),
  "stream.ffprobe": key("", "Path of ffprobe; empty: the first that is found on PATH"),
  "stream.jobs_at_once": key(1, "Videos that are fetched and encoded at a time; others wait", positive),
  "stream.job_timeout_s": key(6 * 3600, "One run of ffmpeg may take this long", positive),
  "stream.threads": key(2, "Threads of one run of ffmpeg", positive),
  "stream.preset": key("veryfast", "x264's preset for renditions: ultrafast to veryslow"),
  "stream.pictures_at_once": key(2, "Thumbnails and clips that are made for viewers at a time; others wait", positive),
  "stream.rtmps_port": key(0, "Port on which encoders of live video are received by RTMPS; 0 = none is"),
  "stream.srt_port": key(0, "UDP port on which encoders of live video are received by SRT; 0 = none is"),
  "stream.rtmps_host": key("127.0.0.1", "Address on which encoders are received; 0.0.0.0 and :: are all of this machine's"),
  "stream.storage_minutes": key(0, "Minutes of video that the account may keep; 0 = unlimited"),
  "stream.private_addresses": key(false, "Videos may be fetched from private addresses, and webhooks and live outputs sent to them"),
  "workers.script_max_bytes": key(64 * 1024 * 1024, "Largest upload of one script", positive),
  "workers.cpu_ms": key(30_000, "CPU time of one invocation of a Worker that sets no `limits.cpu_ms`; 0 = unlimited"),
  "workers.subrequests": key(
    10_000,
    "Subrequests of one invocation of a Worker that sets no `limits.subrequests`; the real service's free plan has 50, 0 = unlimited",
  ),
  "workers.daily_requests": key(0, "Requests that Workers may have in a day (UTC) before the page 1027; 0 = unlimited"),
  "workers.event_timeout_ms": key(15 * 60_000, "Wall time of a scheduled handler and of a queue consumer's batch", positive),
  "workers.startup_cpu_ms": key(1_000, "CPU time that a Worker's top level may take when it is uploaded", positive),
  "workers.previews_max": key(
    50,
    "Preview sessions (`wrangler dev --remote`, remote bindings) at a time; each lives for an hour",
    positive,
  ),
  "workers.count_max": key(500, "Scripts of the account", positive),
  "workers_ai.models": key(
    [] as readonly string[],
    "What runs models, as lines MODEL=URL#NAME of servers in OpenAI's form; * stands for anything, a key is the URL's password: @cf/meta/*=http://127.0.0.1:11434/v1#llama3.1",
    (lines) => {
      for (const line of lines) if (!/^[^=\s]+=https?:\/\/\S+$/.test(line)) throw new Error("must have lines MODEL=URL#NAME; one is none");
    },
  ),
  "workers_ai.request_max_bytes": key(100 * 1024 * 1024, "Largest request to a model", positive),
  "workers_ai.rate_limits": key(false, "The real service's limits of requests a minute, by task"),
  "workers_ai.daily_neurons": key(
    0,
    "Neurons, estimated by tokens, of a day (UTC) before 429; the real service has 10,000 free, 0 = unlimited",
  ),
  "workers_ai.batch_items_at_once": key(4, "Requests of batches that are run at a time", positive),
  "workers_ai.batches_waiting_max": key(1_000, "Batches that wait for their turn before more are refused with 429", positive),
  "workers_ai.batch_retention_days": key(7, "Answers of batches are deleted after this long", positive),
  "workers_ai.conversions_at_once": key(2, "Documents that become Markdown at a time, each in a thread; others wait", positive),
  "workers_ai.conversion_timeout_ms": key(30_000, "The conversion of one document is ended after this long", positive),
  "workers_ai.conversion_memory_mb": key(512, "Heap of one conversion", positive),
  "workers_ai.document_max_bytes": key(100 * 1024 * 1024, "Largest document, also when it is unpacked", positive),
  "workflows.running_max": key(10_000, "Instances of workflows that run at a time", positive),
  "workflows.queued_max": key(1_000_000, "Instances of one workflow that wait for their turn before more are refused with 429", positive),
  "workflows.create_per_s_max": key(
    0,
    "Instances of one workflow that may be created in a second; the real service has 100, 0 = unlimited",
  ),
  "workflows.steps_max": key(10_000, "Steps of an instance whose workflow sets no `limits.steps`", positive),
  "workflows.value_max_bytes": key(
    1024 ** 2,
    "Largest result of a step, payload of an event, parameters and output of an instance",
    positive,
  ),
  "workflows.stored_max_bytes": key(1024 ** 3, "Bytes that all step results of one instance may have", positive),
  "workflows.hibernate_after_ms": key(10_000, "An instance that waits for longer than this is not kept in memory", positive),
  "workflows.retention_days": key(30, "Ended instances are deleted after this long, unless they or their workflow say otherwise", positive),
  "zaraz.plan_timeout_ms": key(5000, "Triggers and expressions of one event that take longer fail it", positive),
  "zaraz.events_per_month": key(0, "Events that Zaraz processes in a month (UTC) before it does nothing; 0 = unlimited"),
  "zones.count_max": key(1000, "Zones (domains) of the account", positive),
  "workers.tail_clients_max": key(10, "Live tails of one script", positive),
  "custom_hostnames.count_max": key(50_000, "Custom hostnames of a zone", positive),
  "custom_hostnames.dns_servers": key(
    [] as readonly string[],
    "DNS servers (address or address:port) that are asked for the proofs of custom hostnames; empty: the system's",
  ),
  "custom_hostnames.http_port": key(80, "Port at which the servers of custom hostnames are asked for their proofs", positive),
  "workers_for_platforms.namespaces_max": key(1000, "Dispatch namespaces of the account", positive),
} as const;

type Keys = typeof configKeys;
export type ConfigKey = keyof Keys;
export type Config = { readonly [K in ConfigKey]: Keys[K]["default"] };

/** A mistake in the configuration: the operator reads the text, which says what to change. */
export class ConfigError extends Error {}

/** The configuration from defaults, a file's values and overrides, checked. */
export function resolveConfig(values: Readonly<Record<string, unknown>>, source: string): Config {
  const config: Record<string, unknown> = Object.fromEntries(Object.entries(configKeys).map(([name, k]) => [name, k.default]));
  for (const [name, value] of Object.entries(values)) {
    const known = configKeys[name as ConfigKey] as Key<unknown> | undefined;
    if (known === undefined)
      throw new ConfigError(`${source}: unknown key "${name}". Did you mean "${nearest(name, Object.keys(configKeys))}"?`);
    if (typeof value !== typeof known.default || Array.isArray(value) !== Array.isArray(known.default)) {
      throw new ConfigError(`${source}: "${name}" must be a ${Array.isArray(known.default) ? "list of strings" : typeof known.default}`);
    }
    try {
      known.check?.(value);
    } catch (cause) {
      throw new ConfigError(`${source}: "${name}" ${(cause as Error).message}`, { cause });
    }
    config[name] = value;
  }
  return config as Config;
}

/** Reads a JSON file whose keys are dotted ("r2_sql.strict") or nested ({ "r2_sql": { "strict": true } }). */
export function readConfigFile(path: string): Config {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new ConfigError(`cannot read the configuration ${path}: ${(cause as Error).message}`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw new ConfigError(`${path}: must hold one JSON object`);
  const flat: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parsed)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      for (const [inner, v] of Object.entries(value)) flat[`${name}.${inner}`] = v;
    else flat[name] = value;
  }
  return resolveConfig(flat, path);
}
