// The authorization server of the interoperability tests: node-oidc-provider, a
// certified implementation, on free ports of the loopback interface.
//
// The tests start it and write one line of JSON to its standard input:
//
//	{"clients": [client metadata (RFC 7591), …], "tls": {"key": PEM, "cert": PEM, "ca": PEM},
//	 "exchanges": {client_id: {"from": audience, "to": [resource, …], "act": any value}, …}}
//
// Exchanges are the clients that may exchange tokens (RFC 8693): those for the audience
// "from", into tokens for one of "to". What is in "act" is written instead of the actor,
// for tokens that are malformed.
//
// It answers with one line on standard output, READY {"http": issuer, "https": issuer}.
// Both issuers share clients, keys and tokens. It ends when its standard input
// does, and so never outlives who started it.
//
// A token is asked for with resource=https://api.example/KIND[?ttl=seconds],
// where KIND is opaque or the signature algorithm of a JWT in lower case; its
// audience is the resource without the query.
//
// Of clients whose id ends in -nonce, nonces are demanded in DPoP proofs.
//
// Users log in as login_hint says, without a password, and consent to everything.

import http from 'node:http';
import https from 'node:https';
import readline from 'node:readline';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Provider, errors } from 'oidc-provider';

const host = '127.0.0.1';
const scope = 'read write admin';
const algorithms = ['RS256', 'RS512', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519'];
const dayInSeconds = 24 * 60 * 60;

const input = readline.createInterface({ input: process.stdin });
const config = await new Promise((resolve) => input.once('line', (line) => resolve(JSON.parse(line))));
input.once('close', () => process.exit(0));

// ---- keys: a generation has one key of each type --------------------------------------------

let published = []; // of all generations in the key set
let newest = 0; // the newest published generation
let signing = 0; // the generation that signs

function publish() {
  newest++;
  const key = (name, type, options, alg) => ({
    ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
    kid: `${name}-${newest}`, use: 'sig', ...(alg && { alg }),
  });
  published.push(
    key('rsa', 'rsa', { modulusLength: 2048 }), // without alg: for RS256, RS512 and PS256
    key('p256', 'ec', { namedCurve: 'P-256' }, 'ES256'),
    key('p384', 'ec', { namedCurve: 'P-384' }, 'ES384'),
    key('ed25519', 'ed25519', {}), // without alg: for EdDSA and its other name, Ed25519 (RFC 9864)
  );
}

const steps = {
  publish,
  activate: () => { signing = newest; },
  drop: () => { published = published.filter((k) => k.kid.endsWith(`-${signing}`)); },
};

function keyName(alg) {
  if (alg === 'ES256') return 'p256';
  if (alg === 'ES384') return 'p384';
  return alg.startsWith('Ed') ? 'ed25519' : 'rsa';
}

// ---- tokens, shared by the providers of all generations and of both issuers -------------------

const stored = new Map();

class Adapter {
  constructor(model) { this.model = model; }

  name(id) { return `${this.model}:${id}`; }

  async upsert(id, payload, expiresIn) {
    stored.set(this.name(id), { payload, expires: Date.now() + 1000 * (expiresIn ?? dayInSeconds) });
  }

  async find(id) {
    const found = stored.get(this.name(id));
    return found && found.expires > Date.now() ? found.payload : undefined;
  }

  async destroy(id) { stored.delete(this.name(id)); }

  async consume(id) { stored.get(this.name(id)).payload.consumed = Math.floor(Date.now() / 1000); }

  async findByUid(uid) {
    for (const [name, { payload }] of stored) if (name.startsWith(this.name('')) && payload.uid === uid) return payload;
    return undefined;
  }

  async revokeByGrantId(grantId) {
    for (const [name, { payload }] of stored) if (name.startsWith(this.name('')) && payload.grantId === grantId) stored.delete(name);
  }
}

// ---- the provider ---------------------------------------------------------------------------

// A resource server has no grant types: it gets no tokens, and may ask about all.
const isResourceServer = (client) => client.grantTypes.length === 0;

const demandsNonce = (client) => client.clientId.endsWith('-nonce');
const nonceSecret = randomBytes(32);

// Access tokens of users say of what session they are: else no logout of a session would
// reach them. The session of a client is in its code, and goes over to refresh tokens, for
// clients with backchannel_logout_session_required.
function extraTokenClaims(ctx, token) {
  if (exchanged.has(token)) return exchanged.get(token);
  const { AuthorizationCode: code, RefreshToken: refreshed } = ctx.oidc.entities;
  const sid = (refreshed ?? code)?.sid;
  return sid && { sid };
}

function resourceServer(resource, generation) {
  const { origin, pathname, searchParams } = new URL(resource);
  const info = { scope, audience: origin + pathname, accessTokenTTL: Number(searchParams.get('ttl') ?? 600) };
  if (pathname === '/opaque') return { ...info, accessTokenFormat: 'opaque' };
  const alg = algorithms.find((a) => pathname === `/${a.toLowerCase()}`);
  if (!alg) throw new errors.InvalidTarget();
  return { ...info, accessTokenFormat: 'jwt', jwt: { sign: { alg, kid: `${keyName(alg)}-${generation}` } } };
}

// ---- exchanging tokens (RFC 8693), which the provider does not do by itself ---------------------

const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';
const exchanged = new WeakMap(); // the further claims of a token that came from an exchange

// The claims of a token of a user's that is for the audience, or an error.
async function subjectOf(token, issuer, audience) {
  const keys = createLocalJWKSet({ keys: published.map(({ kty, crv, x, y, n, e, kid, use, alg }) => ({ kty, crv, x, y, n, e, kid, use, alg })) });
  const { payload } = await jwtVerify(token, keys, {
    issuer, audience, typ: 'at+jwt', algorithms, requiredClaims: ['sub', 'client_id', 'exp', 'iat', 'jti'],
  });
  if (payload.cnf) throw new Error('the token is bound to a key of its sender, and nobody has proved to hold it');
  if (payload.sub === payload.client_id) throw new Error('the token is a client\'s own');
  return payload;
}

const exchange = (generation) => async (ctx) => {
  const { client, params, provider } = ctx.oidc;
  const allowed = config.exchanges?.[client.clientId];
  if (!allowed) throw new errors.UnauthorizedClient('the client may not exchange tokens');
  if (params.actor_token || params.actor_token_type) throw new errors.InvalidRequest('the client is the actor');
  if (params.subject_token_type !== accessTokenType || (params.requested_token_type ?? accessTokenType) !== accessTokenType) {
    throw new errors.InvalidRequest('only access tokens are exchanged');
  }
  if (!params.subject_token) throw new errors.InvalidRequest('there is no subject_token');
  const subject = await subjectOf(params.subject_token, provider.issuer, allowed.from).catch((err) => {
    throw new errors.InvalidRequest('the subject_token is not acceptable', 400, { cause: err });
  });
  if (subject.may_act && subject.may_act.sub !== client.clientId) throw new errors.InvalidRequest('may_act names another client');
  if (!allowed.to.includes(params.resource)) throw new errors.InvalidTarget();
  const granted = new Set(subject.scope?.split(' '));
  const asked = params.scope ? params.scope.split(' ') : [...granted];
  const more = asked.filter((name) => !granted.has(name));
  if (more.length > 0) throw new errors.InvalidScope('the subject_token does not grant it', more.join(' '));

  const server = resourceServer(params.resource, generation);
  const token = new provider.AccessToken({
    accountId: subject.sub, client, gty: 'token_exchange', scope: asked.join(' ') || undefined,
    expiresIn: Math.min(server.accessTokenTTL, subject.exp - Math.floor(Date.now() / 1000)),
  });
  token.resourceServer = new provider.ResourceServer(params.resource, server);
  const act = { sub: client.clientId, ...(subject.act && { act: subject.act }) };
  exchanged.set(token, { act: 'act' in allowed ? allowed.act : act });
  ctx.oidc.entity('AccessToken', token);
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: accessTokenType,
    token_type: token.tokenType,
    expires_in: token.expiration,
    scope: token.scope,
  };
};

async function loadExistingGrant(ctx) {
  const { provider, client, session, params } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(`openid ${scope}`);
  if (params.resource) grant.addResourceScope(params.resource, scope);
  await grant.save();
  return grant;
}

function newProvider(issuer) {
  const generation = signing; // of this provider: a request under way does not see a rotation
  const provider = new Provider(issuer, {
    adapter: Adapter,
    clients: structuredClone(config.clients),
    jwks: { keys: structuredClone(published) },
    scopes: ['openid', ...scope.split(' ')],
    findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (ctx, interaction) => `/login/${interaction.uid}` },
    loadExistingGrant,
    extraTokenClaims,
    fetch: (url, { dispatcher, ...options }) => fetch(url, options), // the dispatcher refuses loopback
    cookies: { keys: [randomBytes(32).toString('hex')] },
    ttl: { ClientCredentials: (ctx, token) => token.resourceServer.accessTokenTTL },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
    enabledJWA: { introspectionSigningAlgValues: algorithms, dPoPSigningAlgValues: ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'PS256', 'RS256'] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => isResourceServer(client) },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (ctx, client, token) => client.clientId === token.clientId },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => resourceServer(resource, generation),
      },
      backchannelLogout: { enabled: true },
      dPoP: { enabled: true, nonceSecret, requireNonce: (ctx) => demandsNonce(ctx.oidc.client) },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        certificateAuthorized: (ctx) => ctx.socket.authorized === true,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_dns'
          && ctx.socket.getPeerX509Certificate().checkHost(expected, { subject: 'never' }) === expected,
      },
    },
  });
  provider.registerGrantType(tokenExchange, exchange(generation), [
    'resource', 'scope', 'requested_token_type', 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
  ]);
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith('/login/')) return next();
    const { params } = await provider.interactionDetails(ctx.req, ctx.res);
    return ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { login: { accountId: params.login_hint } }));
  });
  provider.on('backchannel.error', (ctx, err, client) => console.error('logout', client.clientId, err));
  provider.on('server_error', (ctx, err) => console.error(ctx.method, ctx.path, err));
  return provider.callback();
}

const issuers = {};
let providers = {};
const renew = () => { providers = { http: newProvider(issuers.http), https: newProvider(issuers.https) }; };

// ---- what the tests ask for, under /control ---------------------------------------------------

const requests = {}; // by path
const faults = {}; // by path: {status, delay (ms), drip, times (default: until cleared)}

const controls = {
  '/control/rotate': (query) => { // do=publish,activate,drop: these steps, as one
    for (const step of query.get('do').split(',')) steps[step]();
    renew();
  },
  '/control/fault': (query) => { // fault is JSON; without it, all is well again
    const { path, fault } = Object.fromEntries(query);
    if (fault) faults[path] = { times: Infinity, ...JSON.parse(fault) };
    else delete faults[path];
  },
  '/control/requests': () => {},
};

async function misbehave(fault, res) {
  if (fault.delay) await sleep(fault.delay);
  if (fault.drip) { // blanks may stand before JSON, for ever
    res.writeHead(200, { 'content-type': 'application/json' });
    while (!res.destroyed) {
      res.write(' ');
      await sleep(50);
    }
    return true;
  }
  if (fault.status) res.writeHead(fault.status, { 'content-type': 'text/plain' }).end('out of order');
  return Boolean(fault.status);
}

const listener = (scheme) => async (req, res) => {
  const url = new URL(req.url, issuers[scheme]);
  const control = controls[url.pathname];
  if (control) {
    control(url.searchParams);
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(requests));
    return;
  }
  requests[url.pathname] = (requests[url.pathname] ?? 0) + 1;
  const fault = faults[url.pathname];
  if (fault && fault.times-- > 0 && await misbehave(fault, res)) return;
  providers[scheme](req, res);
};

async function listen(scheme, server, name) {
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  issuers[scheme] = `${scheme}://${name}:${server.address().port}`;
}

await listen('http', http.createServer(listener('http')), host);
await listen('https', https.createServer({ ...config.tls, requestCert: true, rejectUnauthorized: false }, listener('https')), 'localhost');
steps.publish();
steps.activate();
renew();
console.log(`READY ${JSON.stringify(issuers)}`);
