/**
 * A Python program's beginning that connects DuckDB with a lake, as the documentation has it: a secret with the token, and
 * ATTACH with the catalog's address. Extensions come from packages instead of INSTALL, which would download them.
 */
export const DUCKDB = `
import duckdb
from importlib.util import find_spec
db = duckdb.connect()
for name in ["httpfs", "avro", "iceberg"]:
    [home] = find_spec(f"duckdb_extension_{name}").submodule_search_locations
    db.execute(f"LOAD '{home}/extensions/v{duckdb.__version__}/{name}.duckdb_extension'")
db.execute(f"CREATE SECRET r2_secret (TYPE ICEBERG, TOKEN '{TOKEN}')")
db.execute(f"ATTACH '{WAREHOUSE}' AS my_r2_catalog (TYPE ICEBERG, ENDPOINT '{CATALOG_URI}')")
def rows(sql):
    return db.execute(sql).fetchall()
`;
