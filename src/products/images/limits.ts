/** Documented limits (docs: Images, Upload images; Transform images, Supported formats and limitations). Sizes in bytes and pixels. */
const MB = 1024 * 1024;

/** Of an image kept here, and of what belongs to it. */
export const HOSTED_MAX_BYTES = 10 * MB;
export const METADATA_MAX_BYTES = 1024;
export const ID_MAX_CHARACTERS = 1024;
export const VARIANTS_MAX = 100;
export const KEYS_MAX = 100;

/** Of an image from elsewhere. */
export const REMOTE_MAX_BYTES = 70 * MB;

export const SIDE_MAX = 12_000;
export const PIXELS_MAX = 100_000_000;
/** All frames of an animation together. */
export const ANIMATED_PIXELS_MAX = 50_000_000;

/** Longest side of what becomes AVIF: as a choice of ours, and when it was asked for. */
export const AVIF_SIDE_MAX = 1200;
export const AVIF_ASKED_SIDE_MAX = 1600;

/** Areas between which a JPEG is progressive. */
export const PROGRESSIVE_MIN = 150 * 150;
export const PROGRESSIVE_MAX = 3000 * 3000;
