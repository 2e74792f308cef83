/** The player of a video or live input, as sites embed it. */
import { useQuery } from "@tanstack/react-query";
import { Failure, Loading } from "../../components/page.tsx";
import { playerUrl } from "./api.ts";

export function Player({ uid, title, hls, signed }: { uid: string; title: string; hls: string; signed: boolean }) {
  const url = useQuery({
    queryKey: ["stream player", uid, signed],
    queryFn: () => playerUrl(uid, hls, signed),
    // A token lasts an hour; the player is not begun anew for it.
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <>
      <Failure error={url.error} retry={() => void url.refetch()} />
      {url.isPending && <Loading />}
      {url.data && (
        <iframe
          title={`Player: ${title}`}
          src={url.data}
          allow="autoplay; fullscreen; picture-in-picture"
          className="aspect-video w-full rounded-xl border border-line bg-raised"
        />
      )}
    </>
  );
}
