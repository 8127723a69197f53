// Clients of DPoP (RFC 9449) that others have written: the packages oauth4webapi and dpop.
//
// The tests start it and write one line of JSON to its standard input:
//
//	{"library": one of the two, "alg": of its proofs, "issuer": URL, "id": and "secret": of a client}
//
// Each further line is a command, {"do": name, …}, and is answered by one line of JSON on
// standard output. {"error": text} says what the library or this program threw. It ends when
// its standard input does.
//
// Here stands only what an application has to write itself: which requests are sent, and
// that the first answer with a nonce is followed by a second request.

import readline from 'node:readline';
import * as dpop from 'dpop';
import * as oauth from 'oauth4webapi';

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextLine = async () => {
  const { value, done } = await lines.next();
  return done ? undefined : JSON.parse(value);
};
const config = await nextLine();

// ---- what is sent, and how it was answered ----------------------------------------------------

let attempts = []; // of a command
let last; // what the API got last

// send is fetch. Each request has a name, so that the tests find how it was decided.
async function send(url, options, name) {
  const headers = { ...options.headers, 'x-request-name': `${name}-${attempts.length}` };
  const response = await fetch(url, { ...options, headers });
  attempts.push({
    status: response.status,
    nonce: response.headers.get('dpop-nonce') ?? '',
    authenticate: response.headers.get('www-authenticate') ?? '',
    proof: headers.dpop ?? '',
    body: await response.clone().text(),
  });
  last = { url, options };
  return response;
}

// ---- oauth4webapi -----------------------------------------------------------------------------

// noteChallenges: as the library has read them.
function noteChallenges(err) {
  if (err instanceof oauth.WWWAuthenticateChallengeError) attempts.at(-1).challenges = err.cause;
}

class OAuth4webapi {
  async start() {
    this.client = { client_id: config.id };
    const issuer = new URL(config.issuer);
    this.as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer));
    await this.forget();
  }

  async forget() {
    // EdDSA is the name that Ed25519 had before RFC 9864. This version sends it only if told to.
    this.handle = config.alg === 'EdDSA'
      ? oauth.DPoP(this.client, await oauth.generateKeyPair('Ed25519'), { [oauth.modifyAssertion]: (header) => { header.alg = 'EdDSA'; } })
      : oauth.DPoP(this.client, await oauth.generateKeyPair(config.alg));
  }

  thumbprint() { return this.handle.calculateThumbprint(); }

  // withNonce does something, and once more if the answer is that a nonce is needed.
  async withNonce(something) {
    try {
      return await something();
    } catch (err) {
      if (!oauth.isDPoPNonceError(err)) throw err;
      noteChallenges(err);
      return something();
    }
  }

  token(parameters) {
    return this.withNonce(async () => oauth.processClientCredentialsResponse(this.as, this.client,
      await oauth.clientCredentialsGrantRequest(this.as, this.client, oauth.ClientSecretBasic(config.secret), parameters,
        { DPoP: this.handle, [oauth.customFetch]: (address, options) => send(address, options, 'token') })));
  }

  async request({ method, url, to, as, token, beside, name, bearer }) {
    const options = {
      [oauth.customFetch]: (address, o) => send(to ?? address,
        { ...o, method: as ?? method, headers: { ...o.headers, ...(beside && { authorization: `DPoP ${beside}` }) } }, name),
    };
    if (!bearer) options.DPoP = this.handle;
    try {
      await this.withNonce(() => oauth.protectedResourceRequest(token, method, new URL(url), undefined, undefined, options));
    } catch (err) {
      if (!(err instanceof oauth.WWWAuthenticateChallengeError)) throw err;
      noteChallenges(err);
    }
  }
}

// ---- dpop, which makes proofs alone -----------------------------------------------------------

class DPoP {
  async start() {
    this.as = await (await fetch(`${config.issuer}/.well-known/openid-configuration`)).json();
    await this.forget();
  }

  async forget() {
    this.keys = await dpop.generateKeyPair(config.alg);
    this.nonces = new Map(); // by origin
  }

  thumbprint() { return dpop.calculateThumbprint(this.keys.publicKey); }

  // prove says what htu is: the address without query and fragment.
  async prove(method, address, token, nonce) {
    const url = new URL(address);
    return dpop.generateProof(this.keys, `${url.origin}${url.pathname}`, method, nonce ?? this.nonces.get(url.origin), token);
  }

  // withNonce sends something, and once more if the answer is that a nonce is needed.
  async withNonce(address, something) {
    const { origin } = new URL(address);
    for (let again = false; ; again = true) {
      const response = await something();
      const nonce = response.headers.get('dpop-nonce');
      if (nonce) this.nonces.set(origin, nonce);
      const needed = response.status === 401 ? response.headers.get('www-authenticate').includes('error="use_dpop_nonce"')
        : response.status === 400 && (await response.clone().json()).error === 'use_dpop_nonce';
      if (again || !needed) return response;
    }
  }

  async token(parameters) {
    const endpoint = this.as.token_endpoint;
    const response = await this.withNonce(endpoint, async () => send(endpoint, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${config.id}:${config.secret}`)}`, dpop: await this.prove('POST', endpoint) },
      body: new URLSearchParams({ ...parameters, grant_type: 'client_credentials' }),
    }, 'token'));
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }

  async request({ method, url, to, as, token, beside, name, bearer, nonce }) {
    const once = async () => send(to ?? url, {
      method: as ?? method,
      headers: bearer ? { authorization: `Bearer ${token}` }
        : { authorization: `DPoP ${beside ?? token}`, dpop: await this.prove(method, url, token, nonce) },
    }, name);
    await (nonce ? once() : this.withNonce(url, once));
  }
}

// ---- commands ---------------------------------------------------------------------------------

const library = { oauth4webapi: new OAuth4webapi(), dpop: new DPoP() }[config.library];

const commands = {
  // thumbprint: of the key that proofs are made with.
  thumbprint: async () => ({ thumbprint: await library.thumbprint() }),
  // forget: the key and all nonces; the next proof is made with a new key.
  forget: async () => { await library.forget(); },
  // token: with these parameters of a request for client credentials.
  token: async ({ parameters }) => ({ token: await library.token(parameters) }),
  // request: of the API, with a proof for method, url and token, unless bearer. It is sent to
  // another address if there is to, by another method if there is as, and with another token if
  // there is beside. nonce stands instead of the one that the API gave (dpop only).
  request: async (command) => { await library.request(command); },
  // again: what the API got last, unchanged.
  again: async ({ name }) => { await send(last.url, last.options, name); },
};

async function answer(command) {
  attempts = [];
  try {
    return { ...await commands[command.do](command), attempts };
  } catch (err) {
    return { error: err.stack, attempts };
  }
}

await library.start();
for (let command = await nextLine(); command; command = await nextLine()) console.log(JSON.stringify(await answer(command)));
