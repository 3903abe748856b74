// Pages of a real browser that call each other: the official client for signals, WebRTC for sound and
// picture, of which the browser makes up its own.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
// An origin that gateways let in unless they are told otherwise. Nobody listens there: the page is
// made up, too. The browser shows its camera only to pages of this machine, or encrypted ones.
const PAGE = 'http://localhost:3000/call';
const BUNDLE = 'node_modules/socket.io-client/dist/socket.io.min.js';
const CLIENT = fileURLToPath(new URL(BUNDLE, import.meta.url));

const PATIENCE_MS = 15_000;

export async function withBrowser(run) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      '--allow-loopback-in-peer-connection',
      // The made-up page counts as one from far away, which may not call this machine.
      '--disable-features=WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
  try {
    return await run(browser);
  } finally {
    await browser.close();
  }
}

// What runs inside the page.
function phone({ gateway, token, configuration }) {
  const heard = [];
  const early = [];
  const peer = new RTCPeerConnection(configuration);
  const socket = io(gateway, { auth: { token }, transports: ['websocket'], reconnectionDelay: 200 });
  const state = { callId: null, connects: 0 };
  const tell = (candidate) => socket.emit('call:candidate', { callId: state.callId, candidate });
  const know = (callId) => {
    state.callId = callId;
    early.splice(0).forEach(tell);
  };
  socket.onAny((name, body) => heard.push({ name, body }));
  socket.on('connect', () => (state.connects += 1));
  peer.onicecandidate = ({ candidate }) => {
    if (!candidate) return;
    const { candidate: text, sdpMid, sdpMLineIndex } = candidate;
    const told = { candidate: text, sdpMid, sdpMLineIndex };
    if (state.callId) tell(told);
    else early.push(told);
  };
  peer.ontrack = ({ track, streams }) => {
    if (track.kind !== 'video') return;
    const picture = document.createElement('video');
    Object.assign(picture, { autoplay: true, muted: true, srcObject: streams[0] });
    document.body.append(picture);
  };
  const takeMedia = async () => {
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    for (const track of media.getTracks()) peer.addTrack(track, media);
  };
  // Candidates that come before the offer has been taken in wait for it.
  let described = Promise.resolve();
  socket.on('call:incoming', ({ callId, sdp }) => {
    described = (async () => {
      await takeMedia();
      await peer.setRemoteDescription(sdp);
      await peer.setLocalDescription(await peer.createAnswer());
      socket.emit('call:answer', { callId, accept: true, sdp: peer.localDescription.toJSON() });
      know(callId);
    })();
  });
  socket.on('call:ringing', ({ callId }) => know(callId));
  socket.on('call:answer', ({ sdp }) => {
    described = described.then(() => peer.setRemoteDescription(sdp));
  });
  socket.on('call:candidate', ({ candidate }) => {
    described = described.then(() => peer.addIceCandidate(candidate));
  });
  window.phone = {
    heard,
    state,
    isConnected: () => socket.connected,
    call: async (to) => {
      await takeMedia();
      await peer.setLocalDescription(await peer.createOffer());
      socket.emit('call:invite', { to, sdp: peer.localDescription.toJSON(), kind: 'video' });
    },
    hangUp: () => socket.emit('call:hangup', { callId: state.callId }),
    // How many pictures of the other side were decoded, and by what kind of way they came.
    report: async () => {
      await described;
      const stats = [...(await peer.getStats()).values()];
      const picture = stats.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
      const transport = stats.find(({ type }) => type === 'transport');
      const pair = stats.find(({ id }) => id === transport?.selectedCandidatePairId);
      const local = stats.find(({ id }) => id === pair?.localCandidateId);
      return {
        state: peer.connectionState,
        frames: picture?.framesDecoded ?? 0,
        way: local?.candidateType ?? null,
      };
    },
  };
}

export class Phone {
  static async open(browser, label, gateway, user, configuration = {}) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route(PAGE, (route) =>
      route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>call</title>' }),
    );
    const opened = new Phone(label, page);
    page.on('pageerror', (error) => opened.errors.push(error.message));
    await page.goto(PAGE);
    await page.addScriptTag({ path: CLIENT });
    await page.evaluate(phone, { gateway, token: user.token, configuration });
    await opened.until('connected', () => page.evaluate(() => window.phone.isConnected()));
    return opened;
  }

  errors = [];

  constructor(label, page) {
    this.label = label;
    this.page = page;
  }

  call(user) {
    return this.page.evaluate((to) => window.phone.call(to), user.id);
  }

  hangUp() {
    return this.page.evaluate(() => window.phone.hangUp());
  }

  report() {
    return this.page.evaluate(() => window.phone.report());
  }

  connects() {
    return this.page.evaluate(() => window.phone.state.connects);
  }

  async heard(name) {
    const heard = await this.page.evaluate(() => window.phone.heard);
    return heard.filter((event) => event.name === name).map(({ body }) => body);
  }

  // Waits until pictures have come, so many more than there were.
  async sees(more = 10) {
    const { frames: before } = await this.report();
    await this.until(`${more} pictures more than ${before}`, async () => {
      const { state, frames } = await this.report();
      return state === 'connected' && frames >= before + more;
    });
  }

  async until(what, condition) {
    const end = Date.now() + PATIENCE_MS;
    while (!(await condition())) {
      if (Date.now() > end) {
        const heard = await this.page.evaluate(() => window.phone.heard.map(({ name }) => name));
        const report = JSON.stringify(await this.report());
        assert.fail(`${this.label}: never ${what}; ${report}, heard ${heard}, ${this.errors}`);
      }
      await pause(50);
    }
  }
}
