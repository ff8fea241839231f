// Signing libraries for Node as senders and receivers; the words it exchanges with
// tests/interop/main.rs are those of peer.py.
//
// It is run as text in the directory that the packages are installed in, so that they are found; its
// one argument is the directory of the test keys.

import '@shopify/shopify-api/adapters/node';
import { createPrivateKey, createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';

import * as contentful from '@contentful/node-apps-toolkit';
import EasyPost from '@easypost/api';
import * as line from '@line/bot-sdk';
import * as octokit from '@octokit/webhooks-methods';
import { Paddle } from '@paddle/paddle-node-sdk';
import * as sanity from '@sanity/webhook';
import sendgrid from '@sendgrid/eventwebhook';
import { ApiVersion, shopifyApi } from '@shopify/shopify-api';
import { HashFormat, createSHA256HMAC } from '@shopify/shopify-api/runtime';
import * as vonage from '@vonage/jwt';
import { WorkOS } from '@workos-inc/node';
import braintree from 'braintree';
import coinbase from 'coinbase-commerce-node';
import discord from 'discord-interactions';
import Pusher from 'pusher';
import Razorpay from 'razorpay';
import SnsValidator from 'sns-validator';
import standardWebhooks from 'standardwebhooks';
import starkbank from 'starkbank-ecdsa';
import curve from 'starkbank-ecdsa/ellipticcurve/curve.js';
import Stripe from 'stripe';

// Text beyond ASCII, escapes and odd spacing: nothing may be written anew on the way.
const BODY = '{ "type":"a\\u00fcb" ,\n "text" : "Grüße, 世界 \\/ ", "n": 1.0e2 }';
const keys = process.argv[1];

function request(headers, body = BODY, more = {}) {
  const all = { 'content-type': 'application/json', ...headers };
  return { headers: all, body: Buffer.from(body).toString('base64'), ...more };
}

const seconds = () => String(Math.floor(Date.now() / 1000));

/** A private key as `hookgate send` takes it. */
const pem = (key) => key.export({ type: 'pkcs8', format: 'pem' });

function stripe(secret) {
  const { webhooks } = new Stripe('sk_test_interop');
  return {
    package: 'stripe',
    provider: 'stripe',
    sign: () =>
      request({ 'stripe-signature': webhooks.generateTestHeaderString({ payload: BODY, secret }) }),
    verify: (url, headers, body) =>
      Boolean(webhooks.constructEvent(body, headers['stripe-signature'], secret)),
  };
}

function github(secret) {
  return {
    package: '@octokit/webhooks-methods',
    provider: 'github',
    sign: async () =>
      request({
        'x-github-event': 'push',
        'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
        'x-hub-signature-256': await octokit.sign(secret, BODY),
      }),
    verify: (url, headers, body) =>
      octokit.verify(secret, body.toString(), headers['x-hub-signature-256']),
  };
}

/** Its webhooks and its newer events differ in the names of headers. */
const shopify = (prefix) => (secret) => {
  const { webhooks } = shopifyApi({
    apiKey: 'key',
    apiSecretKey: secret,
    apiVersion: ApiVersion.July26,
    hostName: 'hooks.example.com',
    isEmbeddedApp: false,
    logger: { level: 0, log: () => {} },
  });
  return {
    package: '@shopify/shopify-api',
    provider: 'shopify',
    sign: async () =>
      request({
        [`${prefix}hmac-sha256`]: await createSHA256HMAC(secret, BODY, HashFormat.Base64),
        [`${prefix}topic`]: 'orders/create',
        [`${prefix}shop-domain`]: 'example.myshopify.com',
        [`${prefix}api-version`]: ApiVersion.July26,
        [`${prefix}webhook-id`]: 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
        [`${prefix}event-id`]: '98880550-7158-44d4-b7cd-2c97c8a091b5',
      }),
    verify: async (url, headers, body) => {
      const rawRequest = { method: 'POST', url, headers };
      const got = await webhooks.validate({ rawBody: body.toString(), rawRequest });
      if (!got.valid) throw new Error(JSON.stringify(got));
      return true;
    },
  };
};

function sendGrid() {
  const key = new starkbank.PrivateKey(curve.prime256v1);
  const spki = createPublicKey(key.toPem()).export({ type: 'spki', format: 'der' });
  const secret = spki.toString('base64');
  const library = new sendgrid.EventWebhook();
  const names = sendgrid.EventWebhookHeader;
  return {
    package: '@sendgrid/eventwebhook',
    provider: 'sendgrid',
    secret,
    signing: pem(createPrivateKey(key.toPem())),
    sign: () => {
      const at = seconds();
      const signature = starkbank.Ecdsa.sign(at + BODY, key).toBase64();
      return request({ [names.SIGNATURE()]: signature, [names.TIMESTAMP()]: at });
    },
    verify: (url, headers, body) => {
      const of = (name) => headers[name.toLowerCase()];
      const [signature, at] = [of(names.SIGNATURE()), of(names.TIMESTAMP())];
      return library.verifySignature(library.convertPublicKeyToECDSA(secret), body, signature, at);
    },
  };
}

function paddle(secret) {
  const { webhooks } = new Paddle('key');
  return {
    package: '@paddle/paddle-node-sdk',
    provider: 'paddle',
    verify: (url, headers, body) =>
      webhooks.isSignatureValid(body.toString(), secret, headers['paddle-signature']),
  };
}

function lineBot(secret) {
  return {
    package: '@line/bot-sdk',
    provider: 'line',
    verify: (url, headers, body) => line.validateSignature(body, secret, headers['x-line-signature']),
  };
}

function discordInteractions() {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d, x } = privateKey.export({ format: 'jwk' });
  const base64 = (text) => Buffer.from(text, 'base64url').toString('base64');
  const secret = Buffer.from(x, 'base64url').toString('hex');
  return {
    package: 'discord-interactions',
    provider: 'discord',
    secret,
    signing: `whsk_${base64(d)}`,
    verify: (url, headers, body) => {
      const [signature, at] = [headers['x-signature-ed25519'], headers['x-signature-timestamp']];
      return discord.verifyKey(body, signature, at, secret);
    },
  };
}

/**
 * The library fetches the certificate; here it gets the one that the gate has pinned. It does not
 * sign: what it verifies is signed here.
 */
function sns() {
  const secret = readFileSync(`${keys}/rsa-certificate.pem`, 'utf8').trim();
  const key = createPrivateKey(readFileSync(`${keys}/rsa.pem`));
  https.get = (url, answer) => {
    answer(Object.assign(Readable.from([secret]), { statusCode: 200 }));
    return { on: () => {} };
  };
  const library = new SnsValidator();
  return {
    package: 'sns-validator',
    provider: 'aws-sns',
    secret,
    signing: pem(key),
    change: 'Hello',
    sign: () => {
      const signed = {
        Message: 'Hello,\nGrüße, 世界',
        MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
        Subject: 'Greetings',
        Timestamp: new Date().toISOString(),
        TopicArn: 'arn:aws:sns:us-west-2:123456789012:MyTopic',
        Type: 'Notification',
      };
      const text = Object.entries(signed).flat().join('\n');
      const message = {
        ...signed,
        SignatureVersion: '2',
        Signature: createSign('RSA-SHA256').update(`${text}\n`).sign(key, 'base64'),
        SigningCertURL: 'https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem',
      };
      return request({ 'x-amz-sns-message-type': 'Notification' }, JSON.stringify(message));
    },
    verify: (url, headers, body) =>
      new Promise((resolve, reject) => {
        library.validate(body.toString(), (error) => (error ? reject(error) : resolve(true)));
      }),
  };
}

function braintreeGateway(secret) {
  const gateway = new braintree.BraintreeGateway({
    environment: braintree.Environment.Sandbox,
    merchantId: 'merchant',
    publicKey: 'public_key_1',
    privateKey: secret,
  });
  const { Kind } = braintree.WebhookNotification;
  const sample = () => gateway.webhookTesting.sampleNotification(Kind.SubscriptionWentPastDue, 'id_1');
  const form = (fields) => new URLSearchParams(fields).toString();
  return {
    package: 'braintree',
    provider: 'braintree',
    values: { public_key: 'public_key_1' },
    data: form({ ...sample(), bt_signature: '' }),
    sign: () => request({ 'content-type': 'application/x-www-form-urlencoded' }, form(sample())),
    challenge: (url) => {
      const challenge = '20f9f8ed05f77439fe955c977e4c8a53';
      const answer = gateway.webhookNotification.verify(challenge);
      return request({}, '', { method: 'GET', url: `${url}?bt_challenge=${challenge}`, answer });
    },
    verify: async (url, headers, body) => {
      const fields = new URLSearchParams(body.toString());
      const [signature, payload] = [fields.get('bt_signature'), fields.get('bt_payload')];
      return Boolean(await gateway.webhookNotification.parse(signature, payload));
    },
  };
}

function razorpay(secret) {
  return {
    package: 'razorpay',
    provider: 'razorpay',
    verify: (url, headers, body) =>
      Razorpay.validateWebhookSignature(body.toString(), headers['x-razorpay-signature'], secret),
  };
}

function sanityWebhook(secret) {
  return {
    package: '@sanity/webhook',
    provider: 'sanity',
    sign: async () => {
      const signature = await sanity.encodeSignatureHeader(BODY, Date.now(), secret);
      return request({ [sanity.SIGNATURE_HEADER_NAME]: signature, 'idempotency-key': 'key-1' });
    },
    verify: (url, headers, body) =>
      sanity.isValidSignature(body.toString(), headers[sanity.SIGNATURE_HEADER_NAME], secret),
  };
}

function contentfulApp() {
  const secret = '0123456789abcdef'.repeat(4);
  return {
    package: '@contentful/node-apps-toolkit',
    provider: 'contentful',
    secret,
    sign: (url) => {
      const headers = { 'x-contentful-topic': 'ContentManagement.Entry.publish' };
      const wanted = { method: 'POST', path: new URL(url).pathname, headers, body: BODY };
      return request({ ...headers, ...contentful.signRequest(secret, wanted) });
    },
    verify: (url, headers, body) => {
      const path = new URL(url).pathname;
      return contentful.verifyRequest(secret, {
        method: 'POST',
        path,
        headers,
        body: body.toString(),
      });
    },
  };
}

/** The library signs what JSON.stringify makes of a value, and verifies that. */
function workOs(secret) {
  const { webhooks } = new WorkOS('sk_interop', { clientId: 'client' });
  return {
    package: '@workos-inc/node',
    provider: 'workos',
    sign: async () => {
      const [at, payload] = [Date.now(), JSON.parse(BODY)];
      const signature = await webhooks.computeSignature(at, payload, secret);
      return request({ 'workos-signature': `t=${at}, v1=${signature}` }, JSON.stringify(payload));
    },
    verify: (url, headers, body) => {
      const payload = JSON.parse(body.toString());
      return webhooks.verifyHeader({ payload, sigHeader: headers['workos-signature'], secret: secret });
    },
  };
}

function coinbaseCommerce(secret) {
  const body = '{"id": "1", "event": {"id": "event-1", "type": "charge:failed", "text": "Grüße"} }';
  return {
    package: 'coinbase-commerce-node',
    provider: 'coinbase-commerce',
    sign: () => {
      const signature = coinbase.Webhook.computeSignature(body, secret);
      return request({ 'x-cc-webhook-signature': signature }, body);
    },
    verify: (url, headers, got) =>
      Boolean(
        coinbase.Webhook.verifyEventBody(got.toString(), headers['x-cc-webhook-signature'], secret),
      ),
  };
}

/** The library looks at the token alone. */
function vonageJwt(secret) {
  return {
    package: '@vonage/jwt',
    provider: 'vonage',
    change: 'header:authorization',
    verify: (url, headers) =>
      vonage.verifySignature(headers.authorization.replace('Bearer ', ''), secret),
  };
}

function pusher(secret) {
  const key = '278d425bdf160c739803';
  const library = new Pusher({ appId: '1', key, secret: secret, cluster: 'eu' });
  return {
    package: 'pusher',
    provider: 'pusher',
    sign: () => {
      const signature = new Pusher.Token(key, secret).sign(BODY);
      return request({ 'x-pusher-key': key, 'x-pusher-signature': signature });
    },
    verify: (url, headers, body) => library.webhook({ headers, rawBody: body.toString() }).isValid(),
  };
}

/** The key is normalised: "é" becomes "e" and an accent. */
function easyPost() {
  const [secret, library] = ['schlüssel é', new EasyPost('key')];
  return {
    package: '@easypost/api',
    provider: 'easypost',
    secret,
    verify: (url, headers, body) => Boolean(library.Utils.validateWebhook(body, headers, secret)),
  };
}

function standard() {
  const secret = `whsec_${Buffer.from('a key of the interop tests, 32 b').toString('base64')}`;
  const library = new standardWebhooks.Webhook(secret);
  return {
    package: 'standardwebhooks',
    provider: 'standard-webhooks',
    secret,
    sign: () => {
      const at = new Date();
      return request({
        'webhook-id': 'msg_1',
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': library.sign('msg_1', at, BODY),
      });
    },
    verify: (url, headers, body) => Boolean(library.verify(body.toString(), headers)),
  };
}

const makers = {
  stripe,
  github,
  shopify: shopify('x-shopify-'),
  'shopify-events': shopify('shopify-'),
  sendgrid: sendGrid,
  paddle,
  line: lineBot,
  discord: discordInteractions,
  sns,
  braintree: braintreeGateway,
  razorpay,
  sanity: sanityWebhook,
  contentful: contentfulApp,
  workos: workOs,
  'coinbase-commerce': coinbaseCommerce,
  vonage: vonageJwt,
  pusher,
  easypost: easyPost,
  standardwebhooks: standard,
};
// Every row has a secret of its own.
const rows = Object.fromEntries(
  Object.entries(makers).map(([name, make]) => {
    const secret = `The secret of ${name}`.padEnd(64, '.');
    return [name, { secret, ...make(secret) }];
  }),
);

const installed = JSON.parse(readFileSync('package.json', 'utf8')).dependencies;

function describe([name, row]) {
  return {
    row: name,
    package: `${row.package} ${installed[row.package]}`,
    provider: row.provider,
    variant: row.variant ?? null,
    secret: row.secret,
    signing: row.signing ?? row.secret,
    values: row.values ?? {},
    change: row.change ?? null,
    data: row.data ?? null,
    can: ['sign', 'challenge', 'verify'].filter((ability) => row[ability]),
  };
}

/** A library refuses with an exception or says no. */
async function verified(row, { url, headers, body }) {
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  try {
    const got = await row.verify(url, Object.fromEntries(lower), Buffer.from(body, 'base64'));
    return { verified: got };
  } catch (error) {
    return { verified: false, why: String(error) };
  }
}

async function answer(wanted) {
  const row = rows[wanted.row];
  return wanted.do === 'verify' ? verified(row, wanted.request) : row[wanted.do](wanted.url);
}

// Some libraries print.
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
console.log = console.error;
print(Object.entries(rows).map(describe));
for await (const text of createInterface({ input: process.stdin })) {
  print(await answer(JSON.parse(text)));
}
