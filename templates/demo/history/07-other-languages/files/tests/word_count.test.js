'use strict';

const assert = require('node:assert');
const path = require('node:path');
const test = require('node:test');

const { count, topWords } = require(
  path.join(__dirname, '..', 'js', 'word_count.js')
);

test('counts lines, words and characters', () => {
  assert.deepStrictEqual(count('one two\nthree\n'), {
    lines: 2,
    words: 3,
    characters: 14,
  });
});

test('an empty text has no lines', () => {
  assert.deepStrictEqual(count(''), { lines: 0, words: 0, characters: 0 });
});

test('sorts frequent words first, then by the alphabet', () => {
  assert.deepStrictEqual(topWords('b a B c', 2), [['b', 2], ['a', 1]]);
});
