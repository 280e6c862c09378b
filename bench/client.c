/* The client of bench/run.py: a fixed number of connections that ask one server the same thing again and again.
 *
 *   client PORT CONNECTIONS SECONDS MODE REQUEST EXPECTED...
 *
 * MODE: keep, close or websocket, and ",squash" for answers that may differ in white space. REQUEST is a file with the
 * bytes to send (for websocket the payload of a text message), EXPECTED are files with bodies, one of which each answer
 * must have.
 *
 * All connections are made and used once, AT_ONCE at a time, or a second has passed (of WebSockets ten) and a
 * millisecond for each connection. Then "READY" is printed and a line
 * awaited on standard input, so that the caller can read the server's clock. After SECONDS nothing new is asked, what is
 * on its way is awaited, and the result is printed as one line of JSON. The end of standard input ends the client: only
 * then does it let go of connections.
 *
 * Every answer is checked to its last byte. Wrong ones, those that do not come within TIMEOUT_US and connections that
 * end without an answer are errors, and the connection is made anew. What takes more than STUCK_US is stuck as well.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, EXPECTED_MAX = 8, EVENTS = 256, AT_ONCE = 256, STUCK_US = 1000000, TIMEOUT_US = 5000000,
       KINDS = 5, RETRY_US = 10000, SWEEP_US = 20000 };
enum State { UNCONNECTED, UPGRADING, WAITING, ANSWERED, RESTING };
enum Answer { MORE, GOOD, GOOD_AND_CLOSES, BAD_STATUS, BAD_BODY };
enum Kind { STATUS, BODY, CLOSED, TIMEOUT, CONNECT };
static const char *const kindNames[KINDS] = {"status", "body", "closed", "timeout", "connect"};

struct Blob { char *data; size_t size; };
struct Connection {
    int fd;
    enum State state;
    int64_t began;          /* of the question; UNCONNECTED: when to try again */
    int writing;            /* epoll tells when it can be written to */
    size_t sent, got;
    char *buffer;
};

static int port, count, poll_, closes, squash, websocket, measuring, stopping;
static struct Blob request, expected[EXPECTED_MAX], upgrade;
static int expectedCount;
static size_t room;
static struct Connection *connections;
static int64_t errors[KINDS], stuck, reconnects, answers;
static uint32_t *times;
static size_t timesRoom;

static int64_t Now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void Die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

static void *Must(void *memory) {
    if (!memory) Die("no memory");
    return memory;
}

static struct Blob ReadFile(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) Die("%s: %s", path, strerror(errno));
    fseek(file, 0, SEEK_END);
    struct Blob blob = {NULL, (size_t)ftell(file)};
    rewind(file);
    blob.data = Must(malloc(blob.size + 1));
    if (fread(blob.data, 1, blob.size, file) != blob.size) Die("%s: short", path);
    blob.data[blob.size] = 0;
    fclose(file);
    return blob;
}

static size_t Squash(char *data, size_t size) {
    size_t to = 0;
    for (size_t at = 0; at < size; at++)
        if (!strchr(" \t\r\n", data[at]) || !data[at]) data[to++] = data[at];
    return to;
}

/* -- WebSocket frames: one question and one answer, made once ----------------------------------------------------- */

static size_t FrameHead(char *to, size_t size, int mask) {
    to[0] = (char)0x81;
    if (size < 126) {
        to[1] = (char)(mask | size);
        return 2;
    }
    to[1] = (char)(mask | 126);
    to[2] = (char)(size >> 8);
    to[3] = (char)size;
    return 4;
}

static void MakeFrames(void) {
    static const char key[4] = {0x5a, (char)0xa5, 0x01, (char)0xfe};
    static const char ask[] = "GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct Blob payload = request;
    if (payload.size > 65535) Die("a message of more than 64 KB");
    upgrade.data = (char *)ask;
    upgrade.size = sizeof ask - 1;
    request.data = Must(malloc(payload.size + 8));
    size_t head = FrameHead(request.data, payload.size, 0x80);
    memcpy(request.data + head, key, 4);
    for (size_t at = 0; at < payload.size; at++) request.data[head + 4 + at] = payload.data[at] ^ key[at & 3];
    request.size = head + 4 + payload.size;
    expected[0].data = Must(malloc(payload.size + 4));
    head = FrameHead(expected[0].data, payload.size, 0);
    memcpy(expected[0].data + head, payload.data, payload.size);
    expected[0].size = head + payload.size;
    expectedCount = 1;
}

/* -- answers ------------------------------------------------------------------------------------------------------ */

static int IsExpected(char *body, size_t size) {
    if (squash) size = Squash(body, size);
    for (int n = 0; n < expectedCount; n++)
        if (size == expected[n].size && !memcmp(body, expected[n].data, size)) return 1;
    return 0;
}

/* The value of a header field, or NULL; the head ends with an empty line and a NUL. */
static const char *Field(const char *head, const char *name) {
    size_t size = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, size) && line[size] == ':') {
            line += size + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

static int FieldHas(const char *head, const char *name, const char *word) {
    const char *value = Field(head, name);
    return value && !strncasecmp(value, word, strlen(word));
}

/* Joins the chunks in place: the size of the body, -1 when more must come, -2 when it is no chunked body. */
static long Unchunk(char *data, size_t size) {
    char *end = data + size, *at = data;
    for (char *look = data;;) {     /* first look whether all is there: joining destroys */
        char *line = memmem(look, (size_t)(end - look), "\r\n", 2);
        if (!line) return -1;
        char *stop;
        size_t chunk = strtoul(look, &stop, 16);
        if (stop == look) return -2;
        look = line + 2 + chunk + 2;
        if (look > end) return -1;
        if (memcmp(look - 2, "\r\n", 2)) return -2;
        if (!chunk) {
            if (look != end) return -2;
            break;
        }
    }
    for (char *look = data;;) {
        char *line = memmem(look, (size_t)(end - look), "\r\n", 2);
        size_t chunk = strtoul(look, NULL, 16);
        if (!chunk) return at - data;
        memmove(at, line + 2, chunk);
        at += chunk;
        look = line + 2 + chunk + 2;
    }
}

static enum Answer ReadAnswer(struct Connection *c, int ended) {
    char *head = c->buffer;
    char *body = memmem(head, c->got, "\r\n\r\n", 4);
    if (!body) return c->got >= HEAD_MAX ? BAD_STATUS : MORE;
    if (strncmp(head, "HTTP/1.1 200", 12) && strncmp(head, "HTTP/1.0 200", 12)) return BAD_STATUS;
    char saved = body[2];
    body[2] = 0;
    const char *length = Field(head, "Content-Length");
    long size = length ? atol(length) : -1;
    int chunked = FieldHas(head, "Transfer-Encoding", "chunked");
    int closing = FieldHas(head, "Connection", "close")
        || (head[7] == '0' && !FieldHas(head, "Connection", "keep-alive"));
    body[2] = saved;
    body += 4;
    size_t got = c->got - (size_t)(body - head);
    if (chunked) {
        size = Unchunk(body, got);
        if (size == -1) return MORE;
        if (size < 0) return BAD_BODY;
    } else if (length) {
        if (got < (size_t)size) return MORE;
        if (got > (size_t)size) return BAD_BODY;
    } else {
        if (!ended) return MORE;        /* RFC 9112 section 6.3: all until the connection ends */
        size = (long)got;
    }
    if (!IsExpected(body, (size_t)size)) return BAD_BODY;
    return closing ? GOOD_AND_CLOSES : GOOD;
}

static enum Answer ReadFrame(struct Connection *c) {
    if (c->state == UPGRADING) {
        if (!memmem(c->buffer, c->got, "\r\n\r\n", 4)) return MORE;
        c->buffer[c->got] = 0;
        if (strncmp(c->buffer, "HTTP/1.1 101", 12)) return BAD_STATUS;
        const char *accept = Field(c->buffer, "Sec-WebSocket-Accept");
        return accept && !strncmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", 30) ? GOOD : BAD_BODY;
    }
    if (c->got < expected[0].size) return MORE;
    return c->got == expected[0].size && !memcmp(c->buffer, expected[0].data, c->got) ? GOOD : BAD_BODY;
}

/* -- connections -------------------------------------------------------------------------------------------------- */

static void Drop(struct Connection *c, int64_t again) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->state = UNCONNECTED;
    c->began = again;
}

static void Fail(struct Connection *c, enum Kind kind) {
    int64_t now = Now();
    errors[kind]++;
    if (c->state != UNCONNECTED && c->state != ANSWERED && now - c->began > STUCK_US) stuck++;
    Drop(c, now + RETRY_US);
}

static void Watch(struct Connection *c, int operation, int writing) {
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poll_, operation, c->fd, &event)) Die("epoll: %s", strerror(errno));
    c->writing = writing;
}

static void Write(struct Connection *c) {
    const struct Blob *what = c->state == UPGRADING ? &upgrade : &request;
    ssize_t sent = send(c->fd, what->data + c->sent, what->size - c->sent, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN && errno != ENOTCONN) { Fail(c, CLOSED); return; }
        sent = 0;
    }
    c->sent += (size_t)sent;
    if (c->writing != (c->sent < what->size)) Watch(c, EPOLL_CTL_MOD, !c->writing);
}

static void Ask(struct Connection *c, int64_t now) {
    c->state = WAITING;
    c->sent = c->got = 0;
    c->began = now;
    Write(c);
}

static void Connect(struct Connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->began = Now();
    c->sent = c->got = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) Die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        Fail(c, CONNECT);
        return;
    }
    c->state = websocket ? UPGRADING : WAITING;
    Watch(c, EPOLL_CTL_ADD, 1);             /* the question is sent when the connection stands */
}

static void Count(struct Connection *c, int64_t now) {
    int64_t took = now - c->began;
    if (took > STUCK_US) stuck++;
    if (!measuring) return;
    if ((size_t)answers == timesRoom) times = Must(realloc(times, (timesRoom = timesRoom * 2 + 65536) * sizeof *times));
    times[answers++] = (uint32_t)took;
}

/* The server has closed, and had said all. */
static void Gone(struct Connection *c) {
    reconnects += !closes;
    Drop(c, Now());
    if (measuring && !stopping) Connect(c);
}

/* A good answer has come; before the measurement each connection is used once and then rests. */
static void Next(struct Connection *c, int ended, int closing) {
    int64_t now = Now();
    if (c->state == UPGRADING) {
        Ask(c, now);
        return;
    }
    Count(c, now);
    c->state = closes || closing ? ANSWERED : RESTING;
    c->began = now;
    if (ended) Gone(c);
    else if (c->state == RESTING && measuring && !stopping) Ask(c, now);
}

static void Read(struct Connection *c) {
    ssize_t got = recv(c->fd, c->buffer + c->got, room - c->got, 0);
    if (got < 0) {
        if (errno == EAGAIN) return;
        if (c->state != ANSWERED) { Fail(c, c->sent ? CLOSED : CONNECT); return; }
        got = 0;                            /* it had said all: how it leaves is its own business */
    }
    c->got += (size_t)got;
    if (c->state == ANSWERED || c->state == RESTING) {
        if (got) Fail(c, BODY);             /* more than the whole answer */
        else Gone(c);
        return;
    }
    enum Answer answer = websocket ? ReadFrame(c) : ReadAnswer(c, !got);
    switch (answer) {
        case MORE: if (!got) Fail(c, CLOSED); else if (c->got == room) Fail(c, BODY); break;
        case BAD_STATUS: Fail(c, STATUS); break;
        case BAD_BODY: Fail(c, BODY); break;
        default: Next(c, !got, answer == GOOD_AND_CLOSES);
    }
}

/* -- the run ------------------------------------------------------------------------------------------------------ */

static int IsBusy(const struct Connection *c) {
    return c->state == UPGRADING || c->state == WAITING || c->state == ANSWERED;
}

/* What no event tells: answers that do not come, connections to be tried again. -> how many are still busy */
static int Sweep(int64_t now) {
    int busy = 0;
    for (int n = 0; n < count; n++) {
        struct Connection *c = &connections[n];
        if (IsBusy(c) && now - c->began > TIMEOUT_US) Fail(c, TIMEOUT);
        if (c->state == UNCONNECTED && !stopping && now >= c->began && (measuring || !c->sent)) Connect(c);
        busy += IsBusy(c);
    }
    return busy;
}

static void Turn(void) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(poll_, events, EVENTS, 10);
    for (int at = 0; at < n; at++) {
        struct Connection *c = events[at].data.ptr;
        if (events[at].events & EPOLLOUT) Write(c);
        if (c->fd >= 0 && events[at].events & ~(uint32_t)EPOLLOUT) Read(c);
    }
}

static void Run(int64_t until) {
    int64_t sweep = 0;
    for (int busy = 1; busy || !stopping;) {
        Turn();
        int64_t now = Now();
        if (now >= until) stopping = 1;
        if (stopping || now >= sweep) {
            busy = Sweep(now);
            sweep = now + SWEEP_US;
        }
    }
}

static void Prepare(void) {
    int64_t until = Now() + count * 1000LL
        + (websocket ? 2 * TIMEOUT_US : STUCK_US);      /* who echoes is to be connected before */
    int begun = 0, busy = 0;
    while (busy || begun < count) {
        for (; begun < count && busy < AT_ONCE; busy++) Connect(&connections[begun++]);
        Turn();
        busy = 0;
        for (int n = 0; n < begun; n++) busy += IsBusy(&connections[n]);
        if (Now() > until) break;
    }
}

static void Start(void) {
    int64_t now = Now();
    measuring = 1;
    for (int n = 0; n < count; n++) {
        struct Connection *c = &connections[n];
        if (c->state == RESTING) Ask(c, now);
        else if (c->state == UNCONNECTED) Connect(c);
    }
}

static int Compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void Report(double seconds) {
    int64_t all = 0;
    qsort(times, (size_t)answers, sizeof *times, Compare);
    printf("{\"requests\": %lld, \"seconds\": %.6f, \"stuck\": %lld, \"reconnects\": %lld, \"kinds\": {",
           (long long)answers, seconds, (long long)stuck, (long long)reconnects);
    for (int n = 0; n < KINDS; n++) {
        all += errors[n];
        printf("%s\"%s\": %lld", n ? ", " : "", kindNames[n], (long long)errors[n]);
    }
    printf("}, \"errors\": %lld, \"p50Us\": %u, \"p99Us\": %u, \"maxUs\": %u}\n", (long long)all,
           answers ? times[answers / 2] : 0, answers ? times[answers * 99 / 100] : 0, answers ? times[answers - 1] : 0);
    fflush(stdout);
}

/* RFC 6455 section 7.1.2: leave with a close frame; nobody has to report a lost client. */
static void Leave(void) {
    static const char frame[] = "\x88\x82\x5a\xa5\x01\xfe\x59\x4d";
    for (int n = 0; n < count; n++) {
        struct Connection *c = &connections[n];
        if (c->fd < 0) continue;
        if (websocket && c->state == RESTING) send(c->fd, frame, sizeof frame - 1, MSG_NOSIGNAL);
        shutdown(c->fd, SHUT_WR);
        close(c->fd);
    }
}

static void ReadArguments(int argc, char **argv) {
    if (argc < 6) Die("client PORT CONNECTIONS SECONDS MODE REQUEST EXPECTED...");
    port = atoi(argv[1]);
    count = atoi(argv[2]);
    closes = strstr(argv[4], "close") != NULL;
    squash = strstr(argv[4], "squash") != NULL;
    websocket = strstr(argv[4], "websocket") != NULL;
    request = ReadFile(argv[5]);
    room = HEAD_MAX;
    for (int n = 6; n < argc && expectedCount < EXPECTED_MAX; n++) {
        struct Blob *one = &expected[expectedCount++];
        *one = ReadFile(argv[n]);
        if (one->size * 2 + HEAD_MAX > room) room = one->size * 2 + HEAD_MAX;
        if (squash) one->size = Squash(one->data, one->size);
    }
    if (websocket) {
        MakeFrames();
        room += request.size;
    }
}

int main(int argc, char **argv) {
    ReadArguments(argc, argv);
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    connections = Must(calloc((size_t)count, sizeof *connections));
    for (int n = 0; n < count; n++) connections[n] = (struct Connection){.fd = -1, .buffer = Must(malloc(room + 1))};
    Prepare();
    puts("READY");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    int64_t began = Now();
    Start();
    Run(began + (int64_t)(atof(argv[3]) * 1e6));
    Report((double)(Now() - began) / 1e6);
    while (getchar() != EOF) {}
    Leave();
    return 0;
}
