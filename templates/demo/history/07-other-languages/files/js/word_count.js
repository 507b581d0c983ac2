#!/usr/bin/env node
// Count the lines, words and characters of a text.
//
// Usage: word_count.js [--top N] < TEXT
//
// With --top N the N most frequent words follow, one on a line.
'use strict';

const fs = require('fs');

function wordsOf(text) {
  return text.toLowerCase().match(/[\p{L}\p{N}']+/gu) || [];
}

function count(text) {
  const lines = text === '' ? 0 : text.replace(/\n$/, '').split('\n').length;
  return { lines, words: wordsOf(text).length, characters: [...text].length };
}

function topWords(text, limit) {
  const seen = new Map();
  for (const word of wordsOf(text)) {
    seen.set(word, (seen.get(word) || 0) + 1);
  }
  return [...seen]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .slice(0, limit);
}

function main(argv) {
  const text = fs.readFileSync(0, 'utf8');
  const { lines, words, characters } = count(text);
  console.log(`${lines} lines, ${words} words, ${characters} characters`);
  if (argv[0] === '--top') {
    for (const [word, times] of topWords(text, Number(argv[1]))) {
      console.log(`${times} ${word}`);
    }
  }
}

if (require.main === module) {
  main(process.argv.slice(2));
}

module.exports = { count, topWords };
