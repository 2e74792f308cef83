/**
 * What can be wrong with an image or with what is asked of it, by the numbers that the real service documents (docs: Images,
 * Troubleshooting). The binding makes an `ImagesError` of number and text; texts are ours where none is documented.
 */
export class ImageError extends Error {
  readonly number: number;

  constructor(number: keyof typeof statusOf, message: string, options?: ErrorOptions) {
    super(message, options);
    this.number = number;
  }

  get status(): number {
    return statusOf[this.number as keyof typeof statusOf];
  }
}

const statusOf = {
  /** Arguments. */
  9401: 400,
  /** The file or the picture is too large. */
  9402: 413,
  /** Not an image, or one that cannot be read. */
  9412: 415,
  /** More than 100 megapixels. */
  9413: 413,
  /** An output format that is none. */
  9520: 400,
} as const;
