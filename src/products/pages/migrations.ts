/** Tables of projects, their deployments, aliases and files. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-projects",
    sql: `
      CREATE TABLE pages_projects (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_on INTEGER NOT NULL,
        production_branch TEXT NOT NULL,
        production_deployment TEXT,
        settings TEXT NOT NULL
      );
      CREATE TABLE pages_deployments (
        id TEXT PRIMARY KEY,
        project_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        short_id TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        environment TEXT NOT NULL,
        branch TEXT NOT NULL,
        status TEXT NOT NULL,
        content TEXT NOT NULL,
        files TEXT NOT NULL,
        UNIQUE (project_id, number),
        UNIQUE (project_id, short_id)
      );
      CREATE TABLE pages_aliases (
        project_id TEXT NOT NULL,
        alias TEXT NOT NULL,
        deployment_id TEXT NOT NULL,
        PRIMARY KEY (project_id, alias)
      );
      CREATE TABLE pages_assets (
        project_id TEXT NOT NULL,
        hash TEXT NOT NULL,
        blob TEXT NOT NULL,
        size INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        touched_on INTEGER NOT NULL,
        PRIMARY KEY (project_id, hash)
      )`,
  },
  {
    name: "0002-domains",
    sql: `
      CREATE TABLE pages_domains (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        project_id TEXT NOT NULL,
        created_on INTEGER NOT NULL
      )`,
  },
  {
    name: "0003-builds",
    sql: `
      CREATE TABLE pages_repositories (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        remote TEXT,
        webhook TEXT NOT NULL,
        webhook_secret TEXT,
        UNIQUE (owner, name)
      );
      CREATE TABLE pages_heads (
        repository_id TEXT NOT NULL,
        branch TEXT NOT NULL,
        commit_hash TEXT NOT NULL,
        PRIMARY KEY (repository_id, branch)
      );
      CREATE TABLE pages_deploy_hooks (
        id TEXT PRIMARY KEY,
        project_id TEXT NOT NULL,
        name TEXT NOT NULL,
        branch TEXT NOT NULL,
        created_on INTEGER NOT NULL,
        UNIQUE (project_id, name)
      );
      CREATE TABLE pages_build_logs (
        deployment_id TEXT NOT NULL,
        part INTEGER NOT NULL,
        written_on INTEGER NOT NULL,
        lines TEXT NOT NULL,
        PRIMARY KEY (deployment_id, part)
      );
      CREATE INDEX pages_build_logs_age ON pages_build_logs (written_on);
      CREATE INDEX pages_deployments_active ON pages_deployments (created_on) WHERE status = 'active'`,
  },
];
