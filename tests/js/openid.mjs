// A real OpenID provider (node-oidc-provider) for tests of single sign-on: node openid.mjs PORT CLIENT SECRET REDIRECT
//
// Everybody is who they say: its log-in page takes any name with any password, and asks for consent.

import Provider from "oidc-provider";

const [port, clientId, clientSecret, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] }],
    claims: { openid: ["sub"], profile: ["name"] },
    findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, name: `Somebody called ${id}` }) }),
    cookies: { keys: ["only for tests"] },
    pkce: { required: () => false },
    features: { devInteractions: { enabled: true } },
});

provider.listen(Number(port), "127.0.0.1");
