/** The message that asks the owner of a destination address whether mail may be forwarded to it. */
import { randomUUID } from "node:crypto";
import type { KernelSlice } from "../../kernel/product.ts";
import { mailHost } from "./addresses.ts";
import type { Destination } from "./destinations.ts";
import { signed } from "./forward.ts";
import type { SigningKeys } from "./keys.ts";
import type { Outbound } from "./outbound.ts";
import type { Sent } from "./sent.ts";

export function createInvitations({ urls, accountId, config, log }: KernelSlice, keys: SigningKeys, outbound: Outbound, sent: Sent) {
  const hostname = mailHost(config);
  const sender = `noreply@${hostname}`;

  return async function invite({ id, email }: Destination, token: string): Promise<void> {
    const link = `${urls.gateway()}/client/v4/accounts/${accountId}/email/routing/addresses/${id}/verify?token=${token}`;
    const messageId = `<${randomUUID()}@${hostname}>`;
    const subject = "Verify your e-mail address";
    const { default: MailComposer } = await import("nodemailer/lib/mail-composer/index.js");
    const raw = await new MailComposer({
      from: { name: "Freehold Email Routing", address: sender },
      to: email,
      subject,
      messageId,
      text: `Somebody wants mail of their domain to be forwarded to ${email}.\n\nIf that is right, verify the address:\n${link}\n\nIf not, there is nothing to do: nothing will be forwarded.\n`,
    })
      .compile()
      .build();
    const message = await signed(raw, [await keys.of(hostname)]);
    // Without a way out it can be read by the API, and an operator can verify by hand: an address that could not be written to stays unverified.
    await sent.keep("verification", { sender, recipients: [email], subject, messageId, raw: message });
    await outbound
      .deliver(sender, email, message)
      .catch((error: unknown) => log.warn("email_routing.invitation_not_delivered", { email, error }));
  };
}
