// What artwork is asked for; what is drawn with it is held against the server's picture in Chromium (tests/e2e).

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { artworkSize } from '../src/draw2d.js';

test('artwork has the size of what it covers, even, within what a server makes', () => {
  assert.deepEqual(artworkSize(1280, 720), { width: 1280, height: 720 });
  assert.deepEqual(artworkSize(1056, 593.4), { width: 1056, height: 594 });
  assert.deepEqual(artworkSize(390, 844, 16 / 9), { width: 1500, height: 844 }, 'covers');
  assert.deepEqual(artworkSize(1280, 720, undefined, 640), { width: 640, height: 360 });
  assert.deepEqual(artworkSize(3, 3), { width: 16, height: 16 });
  for (const [width, height, aspect] of [[3840, 2160], [1170, 2532], [5000, 100], [100, 90000], [2560, 2560], [1170, 2532, 16 / 9], [2561, 1601], [2559.7, 1600.2]]) {
    const size = artworkSize(width, height, aspect);
    assert.ok(size.width % 2 === 0 && size.height % 2 === 0, `${width}x${height}: ${JSON.stringify(size)}`);
    assert.ok(Math.max(size.width, size.height) <= 2560 && size.width * size.height <= 2560 * 1600, `${width}x${height}: ${JSON.stringify(size)}`);
  }
});
