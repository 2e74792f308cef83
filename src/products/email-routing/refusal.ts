/** What an SMTP client is told instead of "accepted": a reply code and a text, our own or those of the server upstream. */
export class Refusal extends Error {
  readonly responseCode: number;

  constructor(responseCode: number, text: string, options?: ErrorOptions) {
    super(text, options);
    this.responseCode = responseCode;
  }
}

/** A 4xx code asks the sender to come again, a 5xx one not to. */
export const isPermanent = ({ responseCode }: Refusal): boolean => responseCode >= 500;
