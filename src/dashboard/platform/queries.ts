/** What pages read and change, with TanStack Query: one cache of answers by path, and actions that say what they made stale. */
import { QueryClient, useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useToast } from "../components/toast.tsx";
import { ApiFailure, onAccount } from "./rest.ts";
import { session } from "./session.ts";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // A refusal stays one however often it is asked for.
      retry: (count, error) => count < 2 && !(error instanceof ApiFailure && error.status >= 400 && error.status < 500),
    },
  },
});

export const useSession = () => useSuspenseQuery({ queryKey: ["session"], queryFn: session, staleTime: Number.POSITIVE_INFINITY }).data;

/** The result of a GET under the account. */
export function useRest<T>(path: string, options: { headers?: Readonly<Record<string, string>>; refetchInterval?: number } = {}) {
  const { headers, refetchInterval } = options;
  return useQuery({
    queryKey: [path, headers ?? {}],
    queryFn: async ({ signal }) => (await onAccount<T>(path, { signal, ...(headers && { headers }) })).result,
    ...(refetchInterval !== undefined && { refetchInterval }),
  });
}

/**
 * Something that changes state. Then comes `onDone` (closing a dialog, leaving a page), then answers whose path begins with
 * one of `stale` are asked for again, then a toast says `done`. Failures are the caller's to show: `action.error`.
 */
export function useAction<V = void, R = unknown>(
  act: (input: V) => Promise<R>,
  options: {
    stale?: readonly string[];
    done?: string | ((result: R, input: V) => string);
    onDone?: (result: R, input: V) => void | Promise<void>;
  } = {},
) {
  const client = useQueryClient();
  const toast = useToast();
  return useMutation({
    mutationFn: act,
    async onSuccess(result, input) {
      const { stale = [], done, onDone } = options;
      // First: a page that is left does not ask again for what it has just deleted.
      await onDone?.(result, input);
      await client.invalidateQueries({
        predicate: ({ queryKey: [first] }) => typeof first === "string" && stale.some((path) => first.startsWith(path)),
      });
      if (done !== undefined) toast(typeof done === "string" ? done : done(result, input));
    },
  });
}
