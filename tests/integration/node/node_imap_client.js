// Does what argv[2] (JSON) asks for with node-imap; answers in lines of JSON on stdout, one event each.
'use strict';
const fs = require('fs');
const Imap = require('imap');

const job = JSON.parse(process.argv[2]);
// All of it before it returns: process.exit() drops what a full pipe has not taken.
function say(event) {
    const line = Buffer.from(JSON.stringify(event) + '\n');
    for (let at = 0; at < line.length;) {
        try {
            at += fs.writeSync(1, line, at);
        } catch (error) {
            if (error.code !== 'EAGAIN') throw error;
        }
    }
}

const imap = new Imap({
    host: job.host, port: job.port, user: job.user, password: job.password, tls: job.tls === 'implicit',
    autotls: job.tls === 'starttls' ? 'required' : 'never', authTimeout: 20000, connTimeout: 20000,
    debug: text => process.stderr.write(text.slice(0,300) + '\n'),
    tlsOptions: job.ca ? { ca: fs.readFileSync(job.ca), servername: 'localhost' } : {}
});
// its callbacks as promises
const call = (object, name, ...args) => new Promise((resolve, reject) =>
    object[name](...args, (error, value) => error ? reject(error) : resolve(value)));

function fetchAll() {
    return new Promise((resolve, reject) => {
        const messages = [];
        const fetch = imap.seq.fetch('1:*', { bodies: '', struct: false });
        fetch.on('message', message => {
            const entry = {};
            message.on('body', stream => {
                const parts = [];
                stream.on('data', data => parts.push(data));
                stream.on('end', () => { entry.body = Buffer.concat(parts); });
            });
            message.once('attributes', attributes => { entry.uid = attributes.uid; });
            message.once('end', () => messages.push(entry));
        });
        fetch.once('error', reject);
        fetch.once('end', () => resolve(messages));
    });
}

const names = (boxes, prefix = '') => Object.entries(boxes).flatMap(([name, box]) =>
    [prefix + name, ...(box.children ? names(box.children, prefix + name + box.delimiter) : [])]);

async function work() {
    say({ event: 'list', mailboxes: names(await call(imap, 'getBoxes')) });
    await call(imap, 'addBox', job.work);
    await call(imap, 'append', fs.readFileSync(job.upload), { mailbox: 'INBOX', flags: 'Seen' });
    await call(imap, 'openBox', 'INBOX', false);
    const bodies = {}, found = {};
    for (const message of await fetchAll()) {
        bodies[message.uid] = message.body.toString('base64');
        found[/^subject: *(.*?)\r?$/im.exec(message.body.toString('latin1'))[1]] = message.uid;
    }
    say({ event: 'bodies', bodies });
    await call(imap, 'addFlags', found.one, ['\\Flagged', '\\Seen']);
    await call(imap, 'copy', found.two, job.work);
    if (imap.serverSupports('UIDPLUS')) {
        await call(imap, 'move', found.three, job.work);
        await call(imap, 'addFlags', found.two, '\\Deleted');
        await call(imap, 'expunge', found.two);
    } else { // its move() refuses to work without UIDPLUS
        await call(imap, 'copy', found.three, job.work);
        await call(imap, 'addFlags', [found.two, found.three], '\\Deleted');
        await call(imap, 'expunge');
    }
    say({ event: 'search', uids: await call(imap, 'search', ['ALL']) });
    await call(imap, 'closeBox', false);
    say({ event: 'status', messages: (await call(imap, 'status', job.work)).messages.total });
}

async function idle() {
    const box = await call(imap, 'openBox', 'INBOX', false);
    const grown = new Promise(resolve => imap.on('mail', resolve));
    say({ event: 'idle', exists: box.messages.total }); // it idles whenever it has nothing else to do
    const count = await grown;
    say({ event: 'new', exists: box.messages.total, count });
    const messages = await fetchAll();
    const last = messages[messages.length - 1].body.toString('latin1');
    say({ event: 'subject', subject: /^subject: *(.*?)\r?$/im.exec(last)[1] });
}

imap.once('ready', () => ({ work, idle })[job.what]().then(() => {
    imap.once('close', () => { say({ event: 'done' }); process.exit(0); });
    imap.end();
}).catch(error => {
    say({ event: 'failed', message: error.message, code: error.textCode, stack: error.stack });
    process.exit(1);
}));
imap.once('error', error => {
    say({ event: 'refused', message: error.message, source: error.source, code: error.textCode });
    process.exit(3);
});
imap.connect();
