/** Real-time media between browsers, for products that do not speak WebRTC themselves. Interfaces only. */

/** Sessions that begin with a client's offer, as WHIP and WHEP do. Descriptions are SDP. */
export interface MediaSessions {
  /** Sessions of a product, apart from every other's and from every app of an account. */
  open(scope: string): ScopedMediaSessions;
}

export interface ScopedMediaSessions {
  /** Takes everything that the client offers to send. Throws `MediaRefusal`. */
  publish(offer: string): Promise<{ readonly session: string; readonly answer: string }>;
  /** Gives the client what a session sends, as far as it offers to take it. Throws `MediaRefusal`. */
  play(publisher: string, offer: string): Promise<{ readonly session: string; readonly answer: string }>;
  /** Whether the session has not ended. */
  alive(session: string): Promise<boolean>;
  /** Safe for one that has ended. */
  end(session: string): Promise<void>;
}

/** The client's description is not one, or there is no room: `status` is HTTP's. */
export class MediaRefusal extends Error {
  readonly status: number;

  constructor(status: number, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.status = status;
  }
}
