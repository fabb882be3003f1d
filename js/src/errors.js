// What went wrong, with the code by which a program can tell it from others: docs/client.md has them all.

export class MotionError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {object} [more] further properties, such as `status` or `records`
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = 'MotionError';
    this.code = code;
    Object.assign(this, more);
  }
}
