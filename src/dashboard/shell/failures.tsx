/** What stands in for a page that does not exist or failed. */
import { Link } from "@tanstack/react-router";
import { linkShape } from "../components/button.tsx";
import { Empty, Failure } from "../components/page.tsx";

export function NotFound() {
  return (
    <Empty
      title="There is no such page"
      action={
        <Link to="/" className={linkShape()}>
          Go to the overview
        </Link>
      }
    >
      The address may be mistyped, or what it showed was deleted.
    </Empty>
  );
}

export function Unexpected({ error, reset }: { error: unknown; reset?: () => void }) {
  return (
    <div className="mx-auto w-full max-w-xl p-6">
      <Failure error={error} retry={reset ?? (() => location.reload())} />
    </div>
  );
}
