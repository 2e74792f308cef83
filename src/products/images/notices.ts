/** Tells the account how uploads by creators end (docs: Images, Configure webhooks). What `data` holds is not documented. */
import type { Notifier } from "../../kernel/capabilities.ts";
import type { UploadOutcome } from "./uploads.ts";

/** The SDK's name of the alert. */
const ALERT = "image_notification";

export function uploadNotices(notifier: Notifier): (outcome: UploadOutcome) => Promise<void> {
  notifier.addAlerts("Images", [
    { type: ALERT, display_name: "Image Notifications", description: "A creator's upload succeeded or failed." },
  ]);
  return ({ id, image, error }) => {
    const message = error instanceof Error ? error.message : String(error);
    const outcome = image === undefined ? { status: "failure", error: message } : { status: "success", filename: image.filename };
    const text = image === undefined ? `The upload of the image ${id} failed: ${message}` : `The image ${id} was uploaded`;
    return notifier.notify(ALERT, { text, data: { id, ...outcome } });
  };
}
