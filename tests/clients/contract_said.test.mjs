// The contract's events from client to server, row by row: what each takes, what a refused one is
// answered, what strangers and nonsense bring about, and what becomes of one that is taken.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ANSWER, CANDIDATE, OFFER, QUIET_MS, Rows, isInstant } from './contract.mjs';
import {
  GATEWAY_A,
  GATEWAY_B,
  expectStatus,
  logins,
  quietly,
  randomId,
  story,
} from './harness.mjs';

const EVENTS = [
  'send-message',
  'mark-read',
  'delivered',
  'read_up_to',
  'typing',
  'typing-stopped',
  'call:invite',
  'call:answer',
  'call:candidate',
  'call:hangup',
  'call_offer',
  'call_answer',
  'ice_candidate',
  'call_end',
  'join-conversation',
  'leave-conversation',
];

const rows = new Rows();

const NOT_HEX = 'z'.repeat(24);

// No event takes any of these.
const NONSENSE = [
  null,
  'text',
  42,
  true,
  [],
  [[]],
  {},
  { conversationId: { $ne: null }, messageId: { $gt: '' }, callId: {}, to: {}, content: {} },
  { conversationId: ['x'], messageId: ['x'], callId: ['x'], to: ['x'], sdp: [], candidate: [] },
  { conversationId: null, messageId: null, callId: null, to: null },
];

// U1 and U2 have a conversation, U3 has none. Nobody declares anything: such a socket hears the
// names of both old families.
async function cast(stage) {
  const [u1, u2, u3] = await logins(3);
  const conversationId = await u1.openConversation(u2);
  const [s1, s1b, s2, s3] = await Promise.all([
    stage.connect('S1', GATEWAY_A, u1),
    stage.connect('S1b', GATEWAY_B, u1),
    stage.connect('S2', GATEWAY_B, u2),
    stage.connect('S3', GATEWAY_A, u3),
  ]);
  return { stage, u1, u2, u3, s1, s1b, s2, s3, conversationId };
}

const hush = (ears, act = () => {}) => quietly(ears, act, QUIET_MS);

// Says each payload, once asking for an answer and once as the old clients do, and asserts that it
// is refused for one of its reasons, by the event `failure` or in silence, and that nobody else
// notices. What changes nothing may be `fine`, too.
async function refusedAll(speaker, others, name, failure, refused) {
  await hush(failure ? others : [...others, speaker], async () => {
    let told = failure && speaker.count(failure);
    for (const [payload, ...reasons] of refused) {
      const check = (body, isFine) => {
        const shown = `${name} ${JSON.stringify(payload)} -> ${JSON.stringify(body)}`;
        const reason = isFine ? 'fine' : body.error;
        assert.ok(reasons.includes(reason), `expected ${reasons}; ${shown}`);
        assert.ok(isFine || (body.message && typeof body.message === 'string'), shown);
      };
      const answer = await speaker.ask(name, payload);
      check(answer, answer.ok);
      speaker.emit(name, payload);
      if (!failure) continue;
      told += 2;
      const failures = await speaker.heardTimes(told, failure);
      assert.equal(failures.length, told, `${name} is refused once`);
      for (const body of failures.slice(-2)) check(body, false);
    }
  });
}

// A row of the contract. `refused` are the payloads that S1 says in vain and `strange` those that
// U3 does, each with its reasons; `failure` is the event that tells so, if one does. `prepare` returns
// what these need, and `taken` walks what is done.
function row(name, { prepare, failure, refused, strange, taken }) {
  story(`said: ${name}`, async (stage) => {
    const scene = await cast(stage);
    Object.assign(scene, await prepare?.(scene));
    const { s1, s1b, s2, s3 } = scene;
    if (refused) {
      const nonsense = NONSENSE.map((payload) => [
        payload,
        'validation_error',
        'missing',
        'invalid_conversation_id',
        'invalid_id',
      ]);
      const all = [...refused(scene), ...nonsense];
      await refusedAll(s1, [s1b, s2, s3], name, failure, all);
      await refusedAll(s3, [s1, s1b, s2], name, failure, strange(scene));
    }
    await taken(scene);
    for (const { label, socket } of stage.listeners) assert.ok(socket.connected, label);
    rows.walked(name);
  });
}

async function send(user, conversationId, text) {
  const body = { from: user.id, text, conversationId };
  return expectStatus(await user.http.post('/api/messages', body), 200).message;
}

async function cursors(user, conversationId) {
  const list = expectStatus(await user.http.get(`/api/conversations?me=${user.id}`), 200);
  return list.find(({ _id }) => _id === conversationId);
}

// U2 has written three messages that U1 has not read.
async function written({ s1, s1b, s2, u2, conversationId }) {
  const messages = [];
  for (const text of ['one', 'two', 'three']) messages.push(await send(u2, conversationId, text));
  for (const ear of [s1, s1b, s2]) await ear.heardTimes(3, 'message');
  await s2.heardTimes(3, 'message-sent');
  return { messages, ids: messages.map(({ _id }) => _id) };
}

describe('events from client to server', { concurrency: 4 }, () => {
  row('send-message', {
    failure: 'error',
    refused: ({ conversationId }) => [
      [{ conversationId }, 'validation_error'],
      [{ content: 'x' }, 'validation_error'],
      [{ conversationId, content: '' }, 'validation_error'],
      [{ conversationId, content: 'x'.repeat(4001) }, 'too_long'],
      [{ conversationId, content: 'x', type: 'poem' }, 'validation_error'],
      [{ conversationId, content: 'x', replyTo: NOT_HEX }, 'invalid_id', 'validation_error'],
      [{ conversationId: NOT_HEX, content: 'x' }, 'invalid_conversation_id'],
      [{ conversationId: randomId(), content: 'x' }, 'conversation_not_found'],
    ],
    strange: ({ conversationId }) => [[{ conversationId, content: 'x' }, 'forbidden']],
    async taken({ u1, u2, s1, s1b, s2, s3, conversationId }) {
      assert.deepEqual(await u1.history(conversationId), []);
      const first = await send(u2, conversationId, 'first');
      await s1.heard('message');
      const media = 'https://pictures.example.com/cat.png';
      const clientId = 'c1';
      const said = { conversationId, content: 'look', message: 'unread', type: 'image', media };
      s1.emit('send-message', { ...said, replyTo: first._id, clientId });
      const heard = await s2.heard('receive-message', ({ text }) => text === 'look');
      assert.deepEqual(await s2.heard('message', ({ text }) => text === 'look'), heard);
      assert.deepEqual(
        [heard.from, heard.to, heard.type, heard.fileType, heard.replyTo],
        [u1.id, u2.id, 'image', 'image', first._id],
      );
      assert.deepEqual([heard.media, heard.fileUrl], [media, media]);
      for (const own of [s1, s1b]) {
        const { clientId: echoed, ...sent } = await own.heard('message-sent');
        assert.equal(echoed, clientId, own.label);
        assert.deepEqual(sent, heard);
      }
      s1.emit('send-message', { conversationId, message: 'by alias' });
      const plain = await s2.heard('receive-message', ({ text }) => text === 'by alias');
      assert.equal(plain.type, 'text');
      await hush([s3]);
      for (const own of [s1, s1b]) assert.equal(own.count('message-sent'), 2, own.label);
    },
  });

  row('mark-read', {
    prepare: written,
    failure: 'error',
    refused: ({ conversationId }) => [
      [{ conversationId: NOT_HEX }, 'invalid_conversation_id'],
      [{ conversationId: randomId() }, 'conversation_not_found'],
      [{ conversationId, messageIds: [NOT_HEX] }, 'invalid_id'],
      [{ conversationId, messageIds: 'all' }, 'validation_error'],
      [{ messageIds: [randomId()] }, 'missing'],
    ],
    strange: ({ conversationId, ids }) => [
      [{ conversationId }, 'forbidden'],
      [{ conversationId, messageIds: ids }, 'forbidden'],
    ],
    async taken({ u1, s1, s1b, s2, s3, conversationId, messages, ids }) {
      const reads = [
        [{ conversationId, messageIds: ids.slice(0, 2) }, ids.slice(0, 2), messages[1]],
        [{ conversationId, messageIds: [] }, ids.slice(2), messages[2]],
      ];
      for (const [index, [payload, messageIds, newest]] of reads.entries()) {
        s1.emit('mark-read', payload);
        const receipt = (await s2.heardTimes(index + 1, 'messages:read-receipt'))[index];
        assert.deepEqual([...receipt.messageIds].sort(), [...messageIds].sort());
        assert.equal(receipt.readBy, u1.id);
        const upTo = (await s2.heardTimes(index + 1, 'read_up_to'))[index];
        assert.deepEqual(upTo, { conversationId, by: u1.id, at: newest.createdAt });
        for (const own of [s1, s1b]) await own.heardTimes(index + 1, 'messages-read');
        const state = await cursors(u1, conversationId);
        assert.equal(state.readUpTo[u1.id], newest.createdAt);
        assert.equal(state.unreadCount, 1 - index);
      }
      await hush([s1b, s2, s3], async () => {
        for (const payload of [{ conversationId }, { conversationId, messageIds: ids }]) {
          const before = s1.count('messages-read');
          s1.emit('mark-read', payload);
          await s1.heardTimes(before + 1, 'messages-read');
        }
      });
    },
  });

  row('delivered', {
    prepare: written,
    refused: () => [
      [{ messageId: NOT_HEX }, 'invalid_id'],
      [{ messageId: randomId() }, 'not_found'],
    ],
    strange: ({ ids }) => [[{ messageId: ids[0] }, 'not_found']],
    async taken({ u1, u2, s1, s2, s3, conversationId, messages, ids }) {
      for (const index of [1, 0, 1]) s1.emit('delivered', { messageId: ids[index] });
      s2.emit('delivered', { messageId: ids[2] });
      const at = messages[1].createdAt;
      const tick = { messageId: ids[1], conversationId, by: u1.id, at };
      assert.deepEqual(await s2.heard('delivered'), tick);
      await hush([s3]);
      assert.equal(s2.count('delivered'), 1, 'never back, and never twice');
      const state = await cursors(u1, conversationId);
      assert.equal(state.deliveredUpTo[u1.id], at);
      assert.notEqual(state.deliveredUpTo[u2.id], messages[2].createdAt);
    },
  });

  row('read_up_to', {
    prepare: written,
    refused: ({ u1, u2, conversationId }) => [
      [{ conversationId: NOT_HEX, by: u1.id }, 'invalid_conversation_id'],
      [{ conversationId: randomId(), by: u1.id }, 'conversation_not_found'],
      [{ conversationId, by: u2.id }, 'forbidden'],
      [{ conversationId, by: 'x.$y' }, 'forbidden'],
      [{ conversationId, by: u1.id, at: 'soon' }, 'validation_error'],
    ],
    strange: ({ u1, u3, conversationId }) => [
      [{ conversationId, by: u3.id }, 'forbidden'],
      [{ conversationId, by: u1.id }, 'forbidden'],
    ],
    async taken({ u1, s1, s1b, s2, s3, conversationId, messages }) {
      const future = new Date(Date.now() + 86_400_000).toISOString().replace('Z', '456Z');
      const [, middle, newest] = messages;
      for (const [at, expected] of [[middle.createdAt, middle], [future, newest]]) {
        s1.emit('read_up_to', { conversationId, by: u1.id, at });
        const told = await s2.heard('read_up_to', (body) => body.at === expected.createdAt);
        assert.deepEqual(told, { conversationId, by: u1.id, at: expected.createdAt });
        const { readUpTo, deliveredUpTo } = await cursors(u1, conversationId);
        assert.equal(readUpTo[u1.id], expected.createdAt);
        assert.equal(deliveredUpTo[u1.id], expected.createdAt, 'read is delivered');
      }
      await hush([s1b, s2, s3], () => {
        s1.emit('read_up_to', { conversationId, by: u1.id, at: middle.createdAt });
        s1.emit('read_up_to', { conversationId });
      });
      for (const own of [s1, s1b]) assert.equal(own.count('read_up_to'), 0, own.label);
    },
  });

  // A stop of what was never begun is none.
  const nowhere = (...fine) => ({ conversationId, u2 }) => [
    ...['', 'null', 'undefined'].map((nothing) => [{ conversationId: nothing }, 'missing']),
    [{ conversationId: 'c1' }, 'invalid_conversation_id'],
    [{ conversationId: randomId() }, 'conversation_not_found', ...fine],
    [{ conversationId: [conversationId], to: u2.id }, 'validation_error'],
  ];
  const elsewhere = (...fine) => ({ conversationId, u1 }) => [
    [{ conversationId }, 'forbidden', ...fine],
    [{ to: u1.id }, 'conversation_not_found'],
  ];

  row('typing', {
    refused: nowhere(),
    strange: elsewhere(),
    async taken({ u1, u2, s1, s1b, s2, s3, conversationId }) {
      const truths = [
        [undefined, true],
        [false, false],
        [true, true],
        [0, false],
        ['yes', true],
        [null, false],
      ];
      const expected = [];
      for (const [given, typing] of truths) {
        for (const place of [{ conversationId }, { to: u2.id, conversationId: null }]) {
          s1.emit('typing', { ...place, ...(given !== undefined && { typing: given }) });
        }
        const body = await s2.heard('typing', (heard) => heard.typing === typing);
        const at = isInstant(body.at);
        assert.deepEqual(body, { from: u1.id, conversationId, typing, at });
        expected.push(typing);
        await pause(100);
      }
      await s2.heardTimes(3, 'typing-stopped');
      await hush([s1, s1b, s3], () => {});
      const heard = s2.all('typing').map(({ typing }) => typing);
      const turns = heard.filter((typing, index) => typing !== heard[index - 1]);
      assert.deepEqual(turns, expected);
    },
  });

  row('typing-stopped', {
    refused: nowhere('fine'),
    strange: elsewhere('fine'),
    async taken({ u1, s1, s1b, s2, s3, conversationId }) {
      await hush([s1, s1b, s3], async () => {
        s1.emit('typing', { conversationId });
        await s2.heard('typing');
        s1.emit('typing-stopped', { conversationId, typing: true });
        const body = await s2.heard('typing-stopped');
        const at = isInstant(body.at);
        assert.deepEqual(body, { from: u1.id, conversationId, typing: false, at });
      });
      assert.deepEqual(s2.all('typing').map(({ typing }) => typing), [true, false]);
    },
  });

  // U1 rings U2.
  async function rung({ s1, s2, u2 }) {
    const before = s2.count('call:incoming');
    s1.emit('call:invite', { to: u2.id, sdp: OFFER });
    const { callId } = (await s2.heardTimes(before + 1, 'call:incoming'))[before];
    await s1.heard('call:ringing', (body) => body.callId === callId);
    return { callId };
  }

  // U2 has answered at S2.
  async function answered(scene) {
    const { callId } = await rung(scene);
    scene.s2.emit('call:answer', { callId, accept: true, sdp: ANSWER });
    for (const own of [scene.s1, scene.s1b]) await own.heard('call:answer');
    return { callId };
  }

  const over = (callId) => (body) => body.callId === callId;

  for (const [name, failure] of [['call:invite', 'call:error'], ['call_offer', 'call_error']]) {
    const isOld = name === 'call_offer';
    row(name, {
      failure,
      refused: ({ u1, u2, u3 }) => [
        [{ to: u2.id }, 'missing'],
        [{ sdp: OFFER }, 'missing'],
        [{ to: u2.id, sdp: null }, 'missing', 'validation_error'],
        [{ to: u2.id, sdp: 'x'.repeat(65 * 1024) }, 'validation_error'],
        ...(isOld ? [] : [[{ to: u2.id, sdp: { type: 'offer' } }, 'validation_error']]),
        [{ to: u1.id, sdp: OFFER }, 'validation_error'],
        [{ to: randomId(), sdp: OFFER }, 'user_not_found'],
        [{ to: u3.id, sdp: OFFER }, 'forbidden'],
        [{ to: `conversation:${u2.id}`, sdp: OFFER }, 'invalid_id'],
      ],
      strange: ({ u1 }) => [[{ to: u1.id, sdp: OFFER }, 'forbidden']],
      async taken({ u1, u2, s1, s1b, s2, s3 }) {
        for (const given of [undefined, 'audio', 'video', 'hologram']) {
          const kind = given === 'video' && !isOld ? 'video' : 'audio';
          const count = s2.count('call:incoming');
          s1.emit(name, { to: u2.id, sdp: OFFER, ...(given && { kind: given }) });
          const incoming = (await s2.heardTimes(count + 1, 'call:incoming'))[count];
          const { callId } = incoming;
          assert.deepEqual(incoming, { callId, from: u1.id, sdp: OFFER, kind });
          for (const own of [s1, s1b]) {
            const ringing = await own.heard('call:ringing', over(callId));
            assert.deepEqual(ringing, { callId, to: u2.id, kind });
          }
          await hush([s1, s1b, s3], async () => {
            s2.emit(name, { to: u1.id, sdp: OFFER });
            const busy = await s2.heard(isOld ? 'call_error' : 'call:busy');
            assert.equal(busy.error, 'busy');
          });
          s1.emit('call:hangup', { callId });
          for (const ear of [s1, s1b, s2]) await ear.heard('call:ended', over(callId));
        }
      },
    });
  }

  for (const name of ['call:answer', 'call_answer']) {
    const accept = name === 'call:answer' ? { accept: true } : {};
    row(name, {
      prepare: rung,
      failure: 'call:error',
      refused: ({ callId }) => [
        [{ ...accept, sdp: ANSWER }, 'missing'],
        [{ callId, ...accept }, 'missing'],
        [{ callId, ...accept, sdp: 7 }, 'validation_error'],
        [{ callId: randomId(), ...accept, sdp: ANSWER }, 'not_found'],
        [{ callId, ...accept, sdp: ANSWER }, 'forbidden'],
      ],
      strange: ({ callId }) => [[{ callId, ...accept, sdp: ANSWER }, 'not_found']],
      async taken(scene) {
        const { u2, s1, s1b, s2, s3, callId, stage } = scene;
        const s2b = await stage.connect('S2b', GATEWAY_A, u2);
        s2.emit(name, { callId, ...accept, sdp: ANSWER });
        for (const own of [s1, s1b]) {
          const answer = await own.heard('call:answer', over(callId));
          assert.deepEqual(answer, { callId, from: u2.id, sdp: ANSWER, kind: 'audio' });
        }
        assert.deepEqual(await s2b.heard('call:ended'), { callId, by: 'answered_elsewhere' });
        const late = [[{ callId, ...accept, sdp: ANSWER }, 'already_answered']];
        await refusedAll(s2b, [s1, s1b, s2, s3], name, 'call:error', late);
        if (name === 'call_answer') return;

        s1.emit('call:hangup', { callId });
        for (const ear of [s1, s2]) await ear.heard('call:ended', over(callId));
        const again = await rung(scene);
        s2b.emit(name, { callId: again.callId });
        for (const ear of [s1, s1b, s2, s2b]) {
          const declined = await ear.heard('call:declined');
          assert.deepEqual(declined, { callId: again.callId, from: u2.id });
        }
        await hush([s3], () => {});
      },
    });
  }

  for (const name of ['call:candidate', 'ice_candidate']) {
    row(name, {
      prepare: answered,
      refused: ({ callId }) => [
        [{ callId }, 'missing'],
        [{ candidate: CANDIDATE }, 'missing'],
        [{ callId, candidate: 7 }, 'validation_error'],
        [{ callId, candidate: { candidate: 'x'.repeat(5 * 1024) } }, 'validation_error'],
        [{ callId: randomId(), candidate: CANDIDATE }, 'not_found'],
      ],
      strange: ({ callId }) => [[{ callId, candidate: CANDIDATE }, 'not_found']],
      async taken({ u1, u2, s1, s1b, s2, s3, callId }) {
        const last = { candidate: '', sdpMid: null };
        await hush([s1b, s3], async () => {
          for (const candidate of [CANDIDATE, last]) {
            s1.emit(name, { callId, candidate });
            s2.emit(name, { callId, candidate });
          }
          for (const [ear, from] of [[s2, u1.id], [s1, u2.id]]) {
            const heard = await ear.heardTimes(2, 'call:candidate');
            const bodies = [CANDIDATE, last].map((candidate) => ({ callId, from, candidate }));
            assert.deepEqual(heard, bodies);
          }
        });
      },
    });
  }

  for (const name of ['call:hangup', 'call_end']) {
    row(name, {
      prepare: answered,
      refused: () => [[{ callId: randomId() }, 'not_found']],
      strange: ({ callId }) => [[{ callId }, 'not_found']],
      async taken({ u2, s1, s1b, s2, s3, callId }) {
        // Another device of a party cannot end what it has no part in.
        await hush([s1, s2, s3], () => s1b.emit(name, { callId }));
        s2.emit(name, { callId });
        for (const ear of [s1, s1b, s2]) {
          assert.deepEqual(await ear.heard('call:ended'), { callId, by: u2.id });
        }
        await hush([s1, s1b, s2, s3], () => s2.emit(name, { callId }));
      },
    });
  }

  for (const name of ['join-conversation', 'leave-conversation']) {
    row(name, {
      async taken({ s1, s1b, s2, s3, conversationId }) {
        await hush([s1, s1b, s2, s3], async () => {
          for (const payload of [{ conversationId }, { conversationId: randomId() }, ...NONSENSE]) {
            for (const speaker of [s1, s3]) {
              speaker.emit(name, payload);
              assert.deepEqual(await speaker.ask(name, payload), { ok: true });
            }
          }
        });
        s1.emit('send-message', { conversationId, content: 'as before' });
        await s2.heard('message');
        await s3.never('message');
      },
    });
  }
});

rows.check('every event from client to server is walked', EVENTS);
