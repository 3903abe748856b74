// What the two walks of the socket contract share: users of whom everyone has a socket of every
// dialect, spread over both gateways, and the exact account of who hears what of an action.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { GATEWAY_A, GATEWAY_B, INSTANT, expectStatus, logins } from './harness.mjs';
import { STILL_TO_COME, settled } from './settled.mjs';

export const DIALECTS = ['electron', 'flutter', 'undeclared', 'unified'];

export const OFFER = { type: 'offer', sdp: 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n' };
export const ANSWER = { type: 'answer', sdp: 'v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\n' };
export const CANDIDATE = {
  candidate: 'candidate:1 1 udp 1 127.0.0.1 9 typ host',
  sdpMid: '0',
  sdpMLineIndex: 0,
};

// Long enough for what should not come to come.
export const QUIET_MS = 500;

// The contract's events of one direction. A row counts once its story has passed.
export class Rows {
  #walked = new Set();

  walked(...names) {
    for (const name of names) this.#walked.add(name);
  }

  check(title, names) {
    test(title, () => assert.deepEqual([...this.#walked].sort(), [...names].sort()));
  }
}

// Where a user's sockets of all dialects are, one at each gateway in turn.
function places(label, user, first) {
  return DIALECTS.map((dialect, index) => {
    const gateway = (first + index) % 2 === 0 ? GATEWAY_A : GATEWAY_B;
    const options = dialect === 'undeclared' ? {} : { clientType: dialect };
    return [`${label} ${dialect}`, gateway, user, options];
  });
}

function byLabel(listeners) {
  return Object.fromEntries(listeners.map((listener) => [listener.label, listener]));
}

// The sockets of a user, under `u1 electron` and so on; neighbours sit at different gateways.
export async function sockets(stage, label, user, first = 0) {
  const opening = places(label, user, first).map((place) => stage.connect(...place));
  return byLabel(await Promise.all(opening));
}

// The same of several users, as `[label, user]`, once they have settled.
export async function settledEars(stage, ...users) {
  const all = users.flatMap(([label, user], index) => places(label, user, index));
  return byLabel(await settled(stage, all));
}

// U1 and U2 have a conversation; U3 knows nobody.
export async function company(stage) {
  const [u1, u2, u3] = await logins(3);
  const conversationId = await u1.openConversation(u2);
  const heard = await settledEars(stage, ['u1', u1], ['u2', u2], ['u3', u3]);
  return { u1, u2, u3, ears: heard, conversationId };
}

// U1, U2 and U4 are a group; U3 knows nobody.
export async function circle(stage) {
  const [u1, u2, u3, u4] = await logins(4);
  const body = { name: 'Chess', participants: [u2.id, u4.id] };
  const { group } = expectStatus(await u1.http.post('/api/groups/create', body), 201);
  const heard = await settledEars(stage, ['u1', u1], ['u2', u2], ['u3', u3], ['u4', u4]);
  return { u1, u2, u3, u4, ears: heard, conversationId: group.conversationId };
}

// What the sockets of a user hear: the names of each dialect, in order.
export function names(label, electron, flutter, undeclared, unified) {
  const lists = [electron, flutter, undeclared, unified];
  const entries = DIALECTS.map((dialect, index) => [`${label} ${dialect}`, lists[index]]);
  return Object.fromEntries(entries);
}

export function everybody(label, name) {
  return names(label, [name], [name], [name], [name]);
}

export async function send(user, conversationId, text) {
  const body = { from: user.id, text, conversationId };
  return expectStatus(await user.http.post('/api/messages', body), 200).message;
}

// What a message brings at the sockets of its recipients and of its sender, but that which sent it.
export function stored(sender, ...recipients) {
  const created = ['message:created'];
  return Object.assign(
    names(sender, ['message-sent'], ['message'], ['message', 'message-sent'], created),
    ...recipients.map((label) =>
      names(label, ['receive-message'], ['message'], ['receive-message', 'message'], created),
    ),
  );
}

// Acts, and asserts that every socket hears the names that are expected of it, in their order, and the others
// nothing at all; the action may add sockets. Returns what was heard.
export async function told(ears, action, expected, patience = 12_000) {
  const before = new Map(Object.entries(ears).map(([key, { log }]) => [key, log.length]));
  const counts = new Map(
    Object.keys(expected).map((key) => [
      key,
      Object.fromEntries(expected[key].map((name) => [name, ears[key]?.count(name) ?? 0])),
    ]),
  );
  const outcome = await action();
  await Promise.all(
    Object.entries(expected).flatMap(([key, list]) =>
      [...new Set(list)].map((name) => {
        const times = list.filter((one) => one === name).length;
        return ears[key].heardTimes(counts.get(key)[name] + times, name, undefined, patience);
      }),
    ),
  );
  await pause(QUIET_MS);
  const awaited = new Set(Object.values(expected).flat());
  const heard = [];
  for (const [key, { log }] of Object.entries(ears)) {
    const news = log
      .slice(before.get(key))
      .filter(({ name }) => awaited.has(name) || !STILL_TO_COME.has(name));
    const shown = `${key}: ${JSON.stringify(news.map(({ name, args }) => [name, args]))}`;
    assert.deepEqual(news.map(({ name }) => name), expected[key] ?? [], shown);
    for (const { name, args } of news) heard.push({ key, name, body: args[0] });
  }
  return new Heard(heard, outcome);
}

class Heard {
  constructor(heard, outcome) {
    this.heard = heard;
    this.outcome = outcome;
  }

  // Asserts how the bodies under a name look, where they are the same for all old clients.
  each(name, old, unified = old) {
    const own = this.heard.filter((one) => one.name === name);
    assert.ok(own.length > 0, `nobody heard ${name}`);
    for (const { key, body } of own) {
      const expected = (key.endsWith('unified') ? unified : old)(body, key);
      assert.deepEqual(body, expected, `${name} at ${key}`);
    }
    return own[0].body;
  }

  // The body under a name, which is the same at all sockets that heard it.
  one(name) {
    return this.each(name, () => this.heard.find((one) => one.name === name).body);
  }
}

export function isInstant(value) {
  assert.match(value, INSTANT);
  return value;
}
