// What every story needs: an HTTP client that checks the envelope's content type, users who log in
// as the apps do, and official Socket.IO clients that remember all they heard in order of arrival.

import assert from 'node:assert/strict';
import { createHmac, randomBytes, randomInt } from 'node:crypto';
import http from 'node:http';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { checkAcknowledgement, checkEvent } from './document.mjs';

export function required(variable, meaning) {
  const value = process.env[variable];
  if (value) return value;
  console.error(`${variable} is not set: it must hold ${meaning}`);
  process.exit(1);
}

export const GATEWAY_A = required('GATEWAY_A', 'the address of a gateway, http://127.0.0.1:PORT');
export const GATEWAY_B = required('GATEWAY_B', 'the address of another gateway of the same suite');
export const TOKEN_SECRET = required('CHAT_TEST_TOKEN_SECRET', 'the HS256 secret of the suite');

export const JSON_TYPE = 'application/json; charset=utf-8';
export const ID = /^[0-9a-f]{24}$/;
export const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const WAIT_MS = 5_000;
const STORY_MS = 30_000;

// How long "nothing" is watched for.
const QUIET_MS = 1_000;

// These follow a message, or a connect, on a clock of their own: they do not break a silence that is not
// told otherwise. Of sockets that have settled, almost nothing is still to come (settled.mjs).
export const BACKGROUND = new Set([
  'connected',
  'conversation:created',
  'delivered',
  'notification:new',
  'online-users',
  'presence',
  'presence:initial',
  'receipt:delivered',
  'user-status-changed',
]);

export function story(name, run) {
  test(name, { timeout: STORY_MS }, async (t) => {
    const stage = new Stage();
    t.after(() => stage.close());
    await run(stage);
    stage.checkFrames();
    await stage.checkDocument();
  });
}

// Every request has a connection of its own, as those of the mobile client: a server closes one that
// waits, and a request that is on its way by then has no answer.
export class Http {
  constructor(gateway, token, headers = {}) {
    this.gateway = gateway;
    this.headers = { 'content-type': 'application/json', connection: 'close', ...headers };
    if (token) this.headers.authorization = `Bearer ${token}`;
  }

  get(path) {
    return this.send('GET', path);
  }

  post(path, body) {
    return this.send('POST', path, JSON.stringify(body));
  }

  async send(method, path, body) {
    const response = await fetch(this.gateway + path, {
      method,
      headers: this.headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(2 * WAIT_MS),
    }).catch((cause) => {
      throw new Error(`no answer to ${method} ${path}`, { cause });
    });
    const text = await response.text();
    return answer(
      `${method} ${path}`,
      response.status,
      response.headers.get('content-type'),
      text,
    );
  }

  // A server may answer before it has read a large body, and close. Pauses, a long one after the
  // headers and short ones later, let the answer be read before a write meets the closed end.
  async sendInPieces(method, path, body, pieceBytes = 65_536) {
    const url = new URL(this.gateway + path);
    const headers = { ...this.headers, 'content-length': body.length };
    const request = http.request(url, { method, headers, agent: false });
    const received = new Promise((resolve, reject) => {
      request.on('response', resolve);
      request.on('error', reject);
    });
    let answered = false;
    received.then(() => (answered = true), () => (answered = true));
    for (let at = 0; at < body.length && !answered; at += pieceBytes) {
      request.write(body.subarray(at, at + pieceBytes));
      await Promise.race([received.catch(() => {}), pause(at === 0 ? 200 : 1)]);
    }
    if (!answered) request.end();
    const response = await within(received, 2 * WAIT_MS, `no answer to ${method} ${path}`);
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk));
    await within(
      new Promise((resolve, reject) => response.on('end', resolve).on('error', reject)),
      2 * WAIT_MS,
      `the answer to ${method} ${path} never ended`,
    );
    request.destroy();
    const text = Buffer.concat(chunks).toString('utf8');
    return answer(
      `${method} ${path}`,
      response.statusCode,
      response.headers['content-type'] ?? null,
      text,
    );
  }
}

function answer(what, status, contentType, text) {
  const shown = `${what} answered ${status} ${text.slice(0, 300)}`;
  assert.equal(contentType, JSON_TYPE, `content type; ${shown}`);
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    assert.fail(`not JSON; ${shown}`);
  }
  return { status, body, shown };
}

export function expectStatus(received, ...statuses) {
  assert.ok(statuses.includes(received.status), `expected ${statuses}; ${received.shown}`);
  return received.body;
}

export function expectRefusal(received, status, ...codes) {
  const body = expectStatus(received, status);
  assert.equal(body.success, false, received.shown);
  assert.equal(typeof body.error, 'string', received.shown);
  assert.ok(body.message && typeof body.message === 'string', received.shown);
  if (codes.length > 0) {
    assert.ok(codes.includes(body.error), `expected ${codes}; ${received.shown}`);
  }
  return body;
}

export function randomPhone() {
  const digits = Array.from({ length: 11 }, () => randomInt(10)).join('');
  return `+49${digits}`;
}

export function randomId() {
  return randomBytes(12).toString('hex');
}

// The path of the mobile client's login screen; a phone nobody knows becomes a user by it.
export async function login(phone = randomPhone(), gateway = GATEWAY_A) {
  const anyone = new Http(gateway);
  const sent = expectStatus(await anyone.post('/api/auth/send-otp-login', { phone }), 200);
  const verified = expectStatus(
    await anyone.post('/api/auth/verify-otp-login', { otp: sent.otp, sessionId: sent.sessionId }),
    200,
  );
  return new User(verified.user.id, phone, verified.token);
}

export function logins(count) {
  return Promise.all(Array.from({ length: count }, () => login()));
}

export class User {
  constructor(id, phone, token) {
    this.id = id;
    this.phone = phone;
    this.token = token;
    this.http = new Http(GATEWAY_A, token);
  }

  async openConversation(other) {
    const received = await this.http.post('/api/conversations', { otherUserId: other.id });
    return expectStatus(received, 200, 201).conversation._id;
  }

  async history(conversationId) {
    const path = `/api/messages?conversation=${conversationId}`;
    const items = expectStatus(await this.http.get(path), 200);
    assert.ok(Array.isArray(items), `${path} must answer a bare array`);
    return items;
  }
}

export function claimsOf(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString('utf8'));
}

export function signToken(claims, { secret = TOKEN_SECRET, algorithm = 'HS256' } = {}) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode({ alg: algorithm, typ: 'JWT' })}.${encode(claims)}`;
  if (algorithm === 'none') return `${signed}.`;
  const hash = { HS256: 'sha256', HS512: 'sha512' }[algorithm];
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}

// The sockets of one story; all are closed with it.
export class Stage {
  listeners = [];

  // `options` are those of the official client; `clientType` is declared in the CONNECT payload.
  open(label, gateway, user, { clientType, auth, ...options } = {}) {
    const socket = io(gateway, {
      autoConnect: false,
      forceNew: true,
      reconnection: false,
      timeout: WAIT_MS,
      transports: ['websocket'],
      auth: auth ?? { ...(user && { token: user.token }), ...(clientType && { clientType }) },
      ...options,
    });
    const { query = {}, extraHeaders = {} } = options;
    const declared = auth?.clientType ?? clientType ?? query.clientType;
    const listener = new Listener(label, socket, declared ?? extraHeaders['Client-Type']);
    this.listeners.push(listener);
    socket.connect();
    return listener;
  }

  async connect(label, gateway, user, options) {
    const listener = this.open(label, gateway, user, options);
    await listener.connected();
    return listener;
  }

  // Resolves to the text of the connect error.
  async refused(label, gateway, user, options) {
    const { socket } = this.open(label, gateway, user, options);
    const outcome = new Promise((resolve, reject) => {
      socket.once('connect_error', (error) => resolve(error.message));
      socket.once('connect', () => reject(new Error(`${label} was let in`)));
    });
    return within(outcome, 2 * WAIT_MS, `${label} was neither let in nor refused`);
  }

  // A client of the old apps hands its handlers a list as soon as an event has two arguments or
  // asks for an acknowledgement, and its handlers throw on lists.
  checkFrames() {
    for (const { label, past, log } of this.listeners) {
      const odd = [...past, ...log].find(({ args }) => args.length !== 1);
      assert.ok(!odd, `${label} heard ${odd?.name} with ${odd?.args.length} arguments`);
    }
  }

  // Nothing is heard that the document of events does not tell, to the last field.
  async checkDocument() {
    for (const { label, dialect, past, log, answers } of this.listeners) {
      for (const { name, args } of [...past, ...log]) {
        await checkEvent(label, dialect, name, args[0]);
      }
      for (const { name, answer } of answers) await checkAcknowledgement(label, name, answer);
    }
  }

  close() {
    for (const { socket } of this.listeners) socket.disconnect();
  }
}

export class Listener {
  log = [];

  // What it heard before it was told to forget.
  past = [];
  #waiting = new Set();

  // What the gateway answered where it was asked to.
  answers = [];

  // `dialect` is what the client declares; anything but the three names declares nothing.
  constructor(label, socket, dialect) {
    this.label = label;
    this.socket = socket;
    this.dialect = dialect;
    const opened = Date.now();
    socket.onAny((name, ...args) => {
      this.log.push({ name, args, at: Date.now() - opened });
      for (const wake of this.#waiting) wake();
    });
  }

  async connected() {
    if (this.socket.connected) return;
    const outcome = new Promise((resolve, reject) => {
      this.socket.once('connect', resolve);
      this.socket.once('connect_error', (error) =>
        reject(new Error(`${this.label} was refused: ${error.message}`, { cause: error })),
      );
    });
    await within(outcome, 2 * WAIT_MS, `${this.label} did not connect`);
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args);
  }

  async ask(name, ...args) {
    try {
      const answer = await this.socket.timeout(WAIT_MS).emitWithAck(name, ...args);
      this.answers.push({ name, answer });
      return answer;
    } catch {
      throw new Error(`${this.label} got no answer to ${name}; ${this.#told()}`);
    }
  }

  // All payloads under one name, in order of arrival.
  all(name, predicate = () => true) {
    return this.log
      .filter((entry) => entry.name === name && predicate(entry.args[0]))
      .map((entry) => entry.args[0]);
  }

  count(name, predicate) {
    return this.all(name, predicate).length;
  }

  // The first such event, whether it has arrived already or is still to come.
  async heard(name, predicate, timeout = WAIT_MS) {
    await this.#until(() => this.count(name, predicate) > 0, timeout, () => name);
    return this.all(name, predicate)[0];
  }

  async heardTimes(times, name, predicate, timeout = 2 * WAIT_MS) {
    const wanted = () => `${times} of ${name}, got ${this.count(name, predicate)}`;
    await this.#until(() => this.count(name, predicate) >= times, timeout, wanted);
    return this.all(name, predicate);
  }

  // Counts and waits from now on as if it had heard nothing yet.
  forget() {
    this.past.push(...this.log.splice(0));
  }

  async silence({ ms = QUIET_MS, background = BACKGROUND, since = this.log.length } = {}) {
    await pause(ms);
    const noise = this.log.slice(since).filter(({ name }) => !background.has(name));
    assert.equal(noise.length, 0, `${this.label} should have heard nothing; ${this.#told(since)}`);
  }

  async never(name, ms = QUIET_MS) {
    await pause(ms);
    assert.equal(this.count(name), 0, `${this.label} should not hear ${name}; ${this.#told()}`);
  }

  #until(condition, timeout, wanted) {
    return new Promise((resolve, reject) => {
      const settle = (finish, outcome) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        finish(outcome);
      };
      const check = () => {
        try {
          if (condition()) settle(resolve);
        } catch (error) {
          settle(reject, error);
        }
      };
      const timer = setTimeout(() => {
        const what = `${this.label} waited ${timeout} ms for ${wanted()}`;
        settle(reject, new Error(`${what}; ${this.#told()}`));
      }, timeout);
      this.#waiting.add(check);
      check();
    });
  }

  #told(since = 0) {
    const lines = this.log
      .slice(since)
      .map(({ name, args, at }) => `\n  +${at} ms ${name} ${JSON.stringify(args).slice(0, 300)}`);
    return `heard${lines.length > 0 ? lines.join('') : ' nothing'}`;
  }
}

// Runs the action, then asserts that none of the listeners heard anything of it but what is background.
export async function quietly(listeners, action, options = {}) {
  const before = listeners.map((listener) => listener.log.length);
  const outcome = await action();
  await Promise.all(
    listeners.map((listener, index) => listener.silence({ ...options, since: before[index] })),
  );
  return outcome;
}

export async function within(promise, ms, complaint) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${complaint} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Each old client reads its own spelling of a field, so a message carries both and they agree.
export function assertBothSpellings(message) {
  const shown = JSON.stringify(message);
  assert.match(message._id, ID, shown);
  assert.equal(message.messageId, message._id, shown);
  assert.match(message.from, ID, shown);
  assert.equal(message.sender, message.from, shown);
  assert.match(message.conversationId, ID, shown);
  assert.equal(message.conversation, message.conversationId, shown);
  assert.equal(typeof message.text, 'string', shown);
  assert.equal(message.content, message.text, shown);
  assert.equal(message.isDeleted, message.deleted, shown);
  assert.equal(message.deleted, false, shown);
  assert.equal(message.media, message.fileUrl, shown);
  assert.match(message.createdAt, INSTANT, shown);
  assert.equal(typeof message.type, 'string', shown);
}
