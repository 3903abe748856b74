// Sockets that have settled: each is caught up, told who is online, and has heard all that was said before.
// What they hear from then on, they hear of what is done.

import { setTimeout as pause } from 'node:timers/promises';
import { GATEWAY_A, GATEWAY_B, Stage, expectStatus, login, within } from './harness.mjs';

// What may still come: news of conversations that were made just before have a clock of their own.
export const STILL_TO_COME = new Set(['conversation:created', 'notification:new']);

// However busy the machine is, and whatever else it does.
const PATIENCE_MS = 15_000;

// The names under which a new socket is told how it is.
const AT_FIRST = {
  electron: ['connected', 'online-users'],
  flutter: ['presence:initial'],
  unified: [],
};
const UNDECLARED = ['connected', 'presence:initial', 'online-users'];

const MESSAGE = { electron: 'receive-message', flutter: 'message', unified: 'message:created' };

// Somebody whom every user of these stories knows, with a socket at each gateway. What both have heard, the
// gateways have told everybody.
class Witness {
  static async arrive() {
    const witness = new Witness();
    witness.user = await login();
    const stage = new Stage();
    // It stays to the end of the program, and does not put that off.
    const options = { clientType: 'flutter', autoUnref: true };
    const opening = [GATEWAY_A, GATEWAY_B].map((gateway) =>
      stage.connect(`witness at ${gateway}`, gateway, witness.user, options),
    );
    witness.ears = await Promise.all(opening);
    return witness;
  }

  hear(name, predicate) {
    return Promise.all(this.ears.map((ear) => ear.heard(name, predicate, PATIENCE_MS)));
  }

  async write(chat) {
    const body = { text: 'are you there?', conversationId: chat };
    const { message } = expectStatus(await this.user.http.post('/api/messages', body), 200);
    await within(this.#listed(chat, message), PATIENCE_MS, 'no list shows a message');
    return message._id;
  }

  // Whoever connects is caught up with what lists show, which on a busy machine may lag behind an answer.
  async #listed(chat, { createdAt }) {
    const path = `/api/conversations/${chat}`;
    const newest = async () => expectStatus(await this.user.http.get(path), 200).conversation;
    while ((await newest()).lastMessageAt < createdAt) await pause(20);
  }
}

let arriving;

// Connects one socket after the other, as `[label, gateway, user, options]`, and returns them once they have
// settled. Of partners, those who are named first hear that the others come.
export async function settled(stage, places) {
  const witness = await (arriving ??= Witness.arrive());
  const users = [...new Set(places.map(([, , user]) => user))];
  const opening = users.map(async (user) => [user, await witness.user.openConversation(user)]);
  const chats = new Map(await Promise.all(opening));
  const listeners = [];
  const present = new Set();
  for (const [label, gateway, user, options] of places) {
    // What came before a socket counts as delivered once that is caught up.
    const missed = await witness.write(chats.get(user));
    const listener = await stage.connect(label, gateway, user, options);
    await witness.hear('delivered', ({ by, messageId }) => by === user.id && messageId === missed);
    if (!present.has(user)) {
      await witness.hear('presence', ({ uid, online }) => uid === user.id && online);
    }
    present.add(user);
    listeners.push(listener);
    for (const name of AT_FIRST[listener.dialect] ?? UNDECLARED) await listener.heard(name);
  }
  // Whatever was said before is heard before this.
  const last = new Map(
    await Promise.all(users.map(async (user) => [user, await witness.write(chats.get(user))])),
  );
  await Promise.all(
    listeners.map((listener, index) => {
      const wanted = last.get(places[index][2]);
      const name = MESSAGE[listener.dialect] ?? 'message';
      return listener.heard(name, ({ _id, id }) => (_id ?? id) === wanted);
    }),
  );
  for (const listener of listeners) listener.forget();
  return listeners;
}
