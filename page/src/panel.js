// The panel's elements: choices, messages, and the requests.

/** Requests that are kept. */
const KEPT_REQUESTS = 1000;

export const element = (id) => document.getElementById(id);

/** Fills a select with [value, text, is disabled] of each choice. */
export function fillChoice(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text, isDisabled = false]) => {
    const option = new Option(text, value);
    option.disabled = isDisabled;
    return option;
  }));
  select.value = chosen;
}

export function rowOf(texts) {
  const row = document.createElement('tr');
  for (const text of texts) row.insertCell().textContent = text;
  return row;
}

/** Shows [kind, text] of each message. */
export function showMessages(found) {
  element('messages').replaceChildren(...found.map(([kind, text]) => {
    const item = document.createElement('li');
    item.className = kind;
    item.textContent = text;
    return item;
  }));
}

/** The list of requests, the last one first, and their sums. */
export class RequestLog {
  constructor(sizeBytes) {
    this.sizeBytes = sizeBytes;
    this.body = element('log').querySelector('tbody');
    element('clear').addEventListener('click', () => this.clear());
    this.clear();
  }

  clear() {
    [this.requests, this.bytes] = [0, 0];
    this.body.replaceChildren();
    element('total').textContent = '';
  }

  /** Adds a request of a file, which has a number from 1. */
  add(number, name, { offset, length, part }) {
    this.requests += 1;
    this.bytes += length;
    const [from, bytes, sum, size] = [offset, length, this.bytes, this.sizeBytes].map((count) => count.toLocaleString('en'));
    this.body.prepend(rowOf([number, from, bytes, part]));
    this.body.firstElementChild.title = name;
    while (this.body.childElementCount > KEPT_REQUESTS) this.body.lastElementChild.remove();
    element('total').textContent = `${this.requests}, ${sum} of ${size} bytes`;
  }
}
