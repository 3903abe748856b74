// The contract's events from client to server, row by row: what each takes, what a refused one is
// answered, what strangers and nonsense bring about, and what becomes of one that is taken.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { ANSWER, CANDIDATE, OFFER, Rows, isInstant, send } from './contract.mjs';
import { GATEWAY_A, expectStatus, randomId, story } from './harness.mjs';
import { NONSENSE, NOT_HEX, cast, hush, refusedAll } from './saying.mjs';

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
      const picture = { conversationId, content: 'look', message: 'unread', type: 'image', media };
      const arrived = async (text) => {
        const heard = await s2.heard('receive-message', (message) => message.text === text);
        assert.deepEqual(await s2.heard('message', (message) => message.text === text), heard);
        return heard;
      };
      const heard = await hush([s3], () => {
        s1.emit('send-message', { ...picture, replyTo: first._id, clientId });
        return arrived('look');
      });
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
      const plain = await hush([s3], () => {
        s1.emit('send-message', { conversationId, message: 'by alias' });
        return arrived('by alias');
      });
      assert.equal(plain.type, 'text');
      for (const own of [s1, s1b]) assert.equal(own.count('message-sent'), 2, own.label);
      const said = (ear) => ear.all('message', ({ from }) => from === u1.id).map(({ text }) => text);
      for (const ear of [s1b, s2]) assert.deepEqual(said(ear), ['look', 'by alias'], ear.label);
      assert.deepEqual(said(s1), [], 'what was said here is only answered here');
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
      await hush([s3], async () => {
        for (const [index, [payload, messageIds, newest]] of reads.entries()) {
          s1.emit('mark-read', payload);
          const receipt = (await s2.heardTimes(index + 1, 'messages:read-receipt'))[index];
          assert.deepEqual(receipt.messageIds, messageIds);
          assert.equal(receipt.readBy, u1.id);
          const upTo = (await s2.heardTimes(index + 1, 'read_up_to'))[index];
          assert.deepEqual(upTo, { conversationId, by: u1.id, at: newest.createdAt });
          for (const own of [s1, s1b]) await own.heardTimes(index + 1, 'messages-read');
          const state = await cursors(u1, conversationId);
          assert.equal(state.readUpTo[u1.id], newest.createdAt);
          assert.equal(state.unreadCount, 1 - index);
        }
      });
      assert.equal(s2.count('messages:read-receipt'), 2);
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
    async taken({ u1, u2, s1, s1b, s2, s3, conversationId, messages, ids }) {
      const at = messages[1].createdAt;
      const tick = { messageId: ids[1], conversationId, by: u1.id, at };
      await hush([s1, s1b, s3], async () => {
        for (const index of [1, 0, 1]) s1.emit('delivered', { messageId: ids[index] });
        s2.emit('delivered', { messageId: ids[2] });
        assert.deepEqual(await s2.heard('delivered'), tick);
      });
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
        for (const ear of [s1, s1b, s2]) ear.forget();
        const told = await hush([s3], async () => {
          s1.emit('read_up_to', { conversationId, by: u1.id, at });
          for (const own of [s1, s1b]) await own.heard('messages-read');
          await s2.heard('messages:read-receipt');
          return s2.heard('read_up_to');
        });
        assert.deepEqual(told, { conversationId, by: u1.id, at: expected.createdAt });
        const { readUpTo, deliveredUpTo } = await cursors(u1, conversationId);
        assert.equal(readUpTo[u1.id], expected.createdAt);
        assert.equal(deliveredUpTo[u1.id], expected.createdAt, 'read is delivered');
      }
      await hush([s1b, s2, s3], () => {
        s1.emit('read_up_to', { conversationId, by: u1.id, at: middle.createdAt });
        s1.emit('read_up_to', { conversationId });
      });
      for (const own of [s1, s1b]) {
        assert.deepEqual(own.log.map(({ name }) => name), ['messages-read'], own.label);
      }
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
      await hush([s1, s1b, s3], async () => {
        for (const [index, [given, typing]] of truths.entries()) {
          for (const place of [{ conversationId }, { to: u2.id, conversationId: null }]) {
            s1.emit('typing', { ...place, ...(given !== undefined && { typing: given }) });
          }
          const times = Math.floor(index / 2) + 1;
          const such = (heard) => heard.typing === typing;
          const body = (await s2.heardTimes(times, 'typing', such)).at(-1);
          const at = isInstant(body.at);
          assert.deepEqual(body, { from: u1.id, conversationId, typing, at });
        }
        await s2.heardTimes(3, 'typing-stopped');
      });
      const heard = s2.all('typing').map(({ typing }) => typing);
      const turns = heard.filter((typing, index) => typing !== heard[index - 1]);
      assert.deepEqual(turns, truths.map(([, typing]) => typing));
      assert.equal(s2.count('typing-stopped'), 3);
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

  const over = (callId) => (body) => body.callId === callId;

  // U1 rings U2.
  async function rung({ s1, s1b, s2, u2 }) {
    const before = s2.count('call:incoming');
    s1.emit('call:invite', { to: u2.id, sdp: OFFER });
    const { callId } = (await s2.heardTimes(before + 1, 'call:incoming'))[before];
    for (const own of [s1, s1b]) await own.heard('call:ringing', over(callId));
    return { callId };
  }

  // U2 has answered at S2.
  async function answered(scene) {
    const { callId } = await rung(scene);
    scene.s2.emit('call:answer', { callId, accept: true, sdp: ANSWER });
    for (const own of [scene.s1, scene.s1b]) await own.heard('call:answer');
    return { callId };
  }

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
        const ring = async (given) => {
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
          await hush([s1, s1b], async () => {
            s2.emit(name, { to: u1.id, sdp: OFFER });
            const busy = await s2.heard(isOld ? 'call_error' : 'call:busy');
            assert.equal(busy.error, 'busy');
          });
          s1.emit('call:hangup', { callId });
          for (const ear of [s1, s1b, s2]) await ear.heard('call:ended', over(callId));
        };
        await hush([s3], async () => {
          for (const given of [undefined, 'audio', 'video', 'hologram']) await ring(given);
        });
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
        await hush([s2, s3], async () => {
          s2.emit(name, { callId, ...accept, sdp: ANSWER });
          for (const own of [s1, s1b]) {
            const answer = await own.heard('call:answer', over(callId));
            assert.deepEqual(answer, { callId, from: u2.id, sdp: ANSWER, kind: 'audio' });
          }
          assert.deepEqual(await s2b.heard('call:ended'), { callId, by: 'answered_elsewhere' });
        });
        const late = [[{ callId, ...accept, sdp: ANSWER }, 'already_answered']];
        await refusedAll(s2b, [s1, s1b, s2, s3], name, 'call:error', late);
        if (name === 'call_answer') return;

        s1.emit('call:hangup', { callId });
        for (const ear of [s1, s2]) await ear.heard('call:ended', over(callId));
        await hush([s3], async () => {
          const again = await rung(scene);
          s2b.emit(name, { callId: again.callId });
          for (const ear of [s1, s1b, s2, s2b]) {
            const declined = await ear.heard('call:declined');
            assert.deepEqual(declined, { callId: again.callId, from: u2.id });
          }
        });
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
        await hush([s3], async () => {
          s2.emit(name, { callId });
          for (const ear of [s1, s1b, s2]) {
            assert.deepEqual(await ear.heard('call:ended'), { callId, by: u2.id });
          }
        });
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
        await hush([s3], async () => {
          s1.emit('send-message', { conversationId, content: 'as before' });
          await s2.heard('message');
        });
      },
    });
  }
});

rows.check('every event from client to server is walked', EVENTS);
