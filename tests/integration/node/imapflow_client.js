// Does what argv[2] (JSON) asks for with imapflow; answers in lines of JSON on stdout, one event each.
'use strict';
const fs = require('fs');
const { ImapFlow } = require('imapflow');

const job = JSON.parse(process.argv[2]);
// All of it before it returns: process.exit() drops what a full pipe has not taken.
function say(event) {
    const line = Buffer.from(JSON.stringify(event) + '\n');
    for (let at = 0; at < line.length;) {
        try {
            at += require('fs').writeSync(1, line, at);
        } catch (error) {
            if (error.code !== 'EAGAIN') throw error;
        }
    }
}

async function work(client) {
    say({ event: 'list', mailboxes: (await client.list()).map(m => m.path) });
    await client.mailboxCreate(job.work);
    await client.append('INBOX', fs.readFileSync(job.upload), ['\\Seen']);
    const lock = await client.getMailboxLock('INBOX');
    try {
        await client.noop();
        const bodies = {}, found = {};
        for await (const message of client.fetch('1:*', { uid: true, envelope: true, source: true })) {
            bodies[message.uid] = message.source.toString('base64');
            found[message.envelope.subject] = message.uid;
        }
        say({ event: 'bodies', bodies });
        const uid = { uid: true };
        await client.messageFlagsAdd(String(found.one), ['\\Flagged', '\\Seen'], uid);
        await client.messageCopy(String(found.two), job.work, uid);
        await client.messageMove(String(found.three), job.work, uid);
        await client.messageDelete(String(found.two), uid);
        say({ event: 'search', uids: await client.search({ all: true }, uid) });
    } finally {
        lock.release();
    }
    const status = await client.status(job.work, { messages: true, uidNext: true });
    say({ event: 'status', messages: status.messages });
}

async function idle(client) {
    const lock = await client.getMailboxLock('INBOX');
    const before = client.mailbox.exists;
    const grown = new Promise(resolve => client.on('exists', data => data.count > before && resolve(data.count)));
    const idling = client.idle();
    say({ event: 'idle', exists: before });
    const count = await grown;
    say({ event: 'new', exists: count });
    const message = await client.fetchOne('*', { envelope: true });
    say({ event: 'subject', subject: message.envelope.subject });
    await idling;
    lock.release();
}

// Stays in IDLE for job.seconds and keeps the list of messages from what it is told; then looks what there is.
async function watch(client) {
    const lock = await client.getMailboxLock('INBOX');
    let told = client.mailbox.exists, problem = null, news = 0;
    client.on('exists', data => { news++; told = data.count; });
    client.on('expunge', data => {
        news++;
        if (data.seq < 1 || data.seq > told) problem = `EXPUNGE ${data.seq} of ${told} messages`;
        told--;
    });
    client.on('flags', () => news++);
    say({ event: 'idle', exists: told });
    let over = false;
    const end = new Promise(resolve => setTimeout(resolve, job.seconds * 1000)).then(() => { over = true; return client.noop(); });
    while (!over) await client.idle();
    await end;
    let subjects = [];
    // the others are at work: once more if messages came or went between the two commands
    for (let attempt = 0; attempt === 0 || (attempt < 20 && subjects.length !== told); attempt++) {
        await client.noop();
        subjects = [];
        for await (const message of client.fetch('1:*', { uid: true, envelope: true, flags: true })) subjects.push(message.envelope.subject);
    }
    say({ event: 'final', told, subjects, problem, news });
    lock.release();
}

async function main() {
    const client = new ImapFlow({
        host: job.host, port: job.port, secure: job.tls === 'implicit', doSTARTTLS: job.tls === 'starttls',
        auth: { user: job.user, pass: job.password, },
        tls: job.ca ? { ca: fs.readFileSync(job.ca) } : { rejectUnauthorized: false },
        logger: false, ...(job.options || {})
    });
    client.on('error', error => say({ event: 'error', message: error.message, code: error.code }));
    try {
        await client.connect();
    } catch (error) {
        say({ event: 'refused', message: error.message, authenticationFailed: !!error.authenticationFailed,
            code: error.serverResponseCode, response: error.responseText });
        process.exit(3);
    }
    await { work, idle, watch }[job.what](client);
    await client.logout();
    say({ event: 'done' });
}

main().catch(error => {
    say({ event: 'failed', message: error.message, response: error.responseText, stack: error.stack });
    process.exit(1);
});
