/**
 * What can go wrong. `ImageError`: with an image or with what is asked of it, by the numbers that the real service documents
 * (docs: Images, Troubleshooting), in the words that it is known to use, else in ours. `imagesError`: the REST API of hosted
 * images.
 */
import { defineErrors } from "../../kernel/errors.ts";

export type ImageErrorNumber = keyof typeof statusOf;

export class ImageError extends Error {
  readonly number: ImageErrorNumber;
  readonly status: number;

  constructor(number: ImageErrorNumber, message: string, options: ErrorOptions & { readonly status?: number } = {}) {
    super(message, options);
    this.number = number;
    this.status = options.status ?? statusOf[number];
  }

  /** The body of the answer that it makes. */
  get text(): string {
    return `ERROR ${this.number}: ${this.message}`;
  }
}

const statusOf = {
  /** Arguments. */
  9401: 400,
  /** The file or the picture is too large, or its transfer was cut off. */
  9402: 413,
  /** The image was to be fetched by way of its own transformation. */
  9403: 400,
  /** The origin has no such image. */
  9404: 404,
  /** The image's URL is none that can be fetched. */
  9406: 400,
  /** The origin's name does not resolve. */
  9407: 502,
  /** The origin answered 4xx. */
  9408: 403,
  /** Not an image, or one that cannot be read. */
  9412: 415,
  /** More than 100 megapixels. */
  9413: 413,
  /** The image's URL has spaces or characters that are not escaped. */
  9419: 400,
  /** The origin redirected to something that is no URL, or leads where nobody may go. */
  9420: 502,
  /** Too many redirects. */
  9421: 502,
  /** The month's transformations are used up. */
  9422: 429,
  /** The origin does not accept connections; does not answer in time; broke off. */
  9504: 504,
  9505: 504,
  9510: 502,
  /** The origin answered 5xx. */
  9509: 502,
  /** A format that cannot be read, or made. */
  9520: 400,
  /** Too many pictures wait for their turn. */
  9522: 503,
  /** The picture could not be transformed. */
  9523: 500,
  /** A Worker answered for the image. */
  9524: 502,
  /** It took too long. */
  9529: 504,
} as const;

/** Codes of the Images API; texts are ours where only the code is known. */
export const imagesError = defineErrors("images", {
  badRequest: { status: 400, apiCode: 5400, message: "Bad request" },
  variantNotFound: { status: 404, apiCode: 5401, message: "Variant name not found" },
  notFound: { status: 404, apiCode: 5404, message: "Image not found" },
  keyNotFound: { status: 404, apiCode: 5404, message: "Signing key not found" },
  exists: { status: 409, apiCode: 5409, message: "Resource already exists" },
  tooLarge: { status: 413, apiCode: 5413, message: "Maximum image size of 10 Mb is reached" },
  notForm: {
    status: 415,
    apiCode: 5415,
    message: "Images must be uploaded as a form, not as raw image data. Please use multipart/form-data format",
  },
  limit: { status: 403, apiCode: 5453, message: "The given account has reached a service limit" },
  format: {
    status: 415,
    apiCode: 5455,
    message: "Uploaded image must have image/jpeg, image/png, image/webp, image/gif or image/svg+xml content-type",
  },
  /** An upload's URL was used, has expired, or never was. */
  uploadGone: { status: 404, apiCode: 5404, message: "The upload URL is not valid, has expired, or was used already" },
  rateLimited: { status: 429, apiCode: 971, message: "Please wait and consider throttling your request speed" },
  settingNotFound: { status: 404, apiCode: 1003, message: "Undefined zone setting" },
  settingInvalid: { status: 400, apiCode: 1007, message: "Invalid value for zone setting" },
  zoneNotFound: { status: 404, apiCode: 1001, message: "Invalid zone identifier" },
});
