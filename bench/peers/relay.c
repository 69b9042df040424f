/* A bare relay: consume, publish, acknowledge, on two connections, with librabbitmq. No work is done on a message.
 *
 *   relay URL QUEUE-IN QUEUE-OUT MESSAGES WARM [confirm]
 *
 * It is the yardstick: what one process can carry through the broker at most. With "confirm" a delivery is acknowledged
 * only when the broker has confirmed its copy, as the other sides do; without, nothing is waited for but the end.
 * The clock starts behind the first WARM messages. Prints one JSON object.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

enum { PREFETCH = 1200, BATCH = 100, CHANNEL = 1 };

struct link {
    amqp_connection_state_t connection;
    int socket;
};

static void die(const char *what) {
    fprintf(stderr, "relay: %s\n", what);
    exit(1);
}

static void check(amqp_connection_state_t connection, const char *what) {
    if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL) die(what);
}

static struct link open_link(const char *url) {
    struct amqp_connection_info place;
    char *copy = strdup(url);
    if (amqp_parse_url(copy, &place) != AMQP_STATUS_OK) die("the URL cannot be read");
    struct link link = {amqp_new_connection(), 0};
    amqp_socket_t *socket = amqp_tcp_socket_new(link.connection);
    if (!socket || amqp_socket_open(socket, place.host, place.port)) die("cannot connect");
    amqp_rpc_reply_t reply = amqp_login(link.connection, place.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0,
                                        AMQP_SASL_METHOD_PLAIN, place.user, place.password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("cannot log in");
    amqp_channel_open(link.connection, CHANNEL);
    check(link.connection, "cannot open a channel");
    link.socket = amqp_get_sockfd(link.connection);
    return link;
}

static double seconds(struct timeval time) { return time.tv_sec + time.tv_usec / 1e6; }

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Take one delivery if it is there or comes within the time; 0 when it does not. */
static int relay_one(struct link in, struct link out, amqp_bytes_t queue, struct timeval *limit) {
    amqp_envelope_t envelope;
    amqp_rpc_reply_t reply = amqp_consume_message(in.connection, &envelope, limit, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT) return 0;
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("cannot consume");
    amqp_basic_properties_t *properties = &envelope.message.properties;
    properties->_flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties->delivery_mode = 2;
    if (amqp_basic_publish(out.connection, CHANNEL, amqp_empty_bytes, queue, 0, 0, properties, envelope.message.body))
        die("cannot publish");
    amqp_destroy_envelope(&envelope);
    return 1;
}

/* Read the confirms that have come; returns up to which publish all are confirmed. */
static long confirmed(struct link out, char *known, long before, long sent) {
    amqp_frame_t frame;
    struct timeval none = {0, 0};
    amqp_maybe_release_buffers(out.connection);
    while (amqp_simple_wait_frame_noblock(out.connection, &frame, &none) == AMQP_STATUS_OK) {
        if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            die("a publish was not confirmed");
        amqp_basic_ack_t *ack = frame.payload.method.decoded;
        for (long tag = ack->multiple ? before + 1 : (long)ack->delivery_tag; tag <= (long)ack->delivery_tag; tag++)
            known[tag] = 1;
        while (before < sent && known[before + 1]) before++;
    }
    return before;
}

static void wait_for_either(struct link in, struct link out) {
    struct pollfd both[2] = {{in.socket, POLLIN, 0}, {out.socket, POLLIN, 0}};
    if (amqp_frames_enqueued(in.connection) || amqp_data_in_buffer(in.connection)) return;
    if (poll(both, 2, 30000) <= 0) die("nothing came for 30 s");
}

int main(int count, char **given) {
    if (count < 6) die("usage: relay URL QUEUE-IN QUEUE-OUT MESSAGES WARM [confirm]");
    long total = atol(given[4]), warm = atol(given[5]), taken = 0, settled = 0, acked = 0;
    int confirm = count > 6 && !strcmp(given[6], "confirm");
    struct link in = open_link(given[1]), out = open_link(given[1]);
    amqp_bytes_t queue = amqp_cstring_bytes(given[3]);
    char *known = calloc(total + 2, 1);
    double began = 0, used = 0;
    struct timeval none = {0, 0}, patience = {30, 0};

    if (confirm) amqp_confirm_select(out.connection, CHANNEL);
    amqp_basic_qos(in.connection, CHANNEL, 0, PREFETCH, 0);
    check(in.connection, "cannot set the prefetch");
    amqp_basic_consume(in.connection, CHANNEL, amqp_cstring_bytes(given[2]), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check(in.connection, "cannot consume");

    while (settled < total) {
        int came = taken < total && relay_one(in, out, queue, confirm ? &none : &patience);
        taken += came;
        if (!came && !confirm) die("nothing came for 30 s");
        if (!came) wait_for_either(in, out);
        if (!confirm)
            settled = taken;
        else if (!came || taken % BATCH == 0)
            settled = confirmed(out, known, settled, taken);
        if (settled - acked >= BATCH || (settled == total && acked < total)) {
            amqp_basic_ack(in.connection, CHANNEL, settled, 1);
            acked = settled;
            amqp_maybe_release_buffers(in.connection);
        }
        if (began == 0 && settled >= warm) began = now(), used = cpu(), warm = settled;
    }
    /* An answer to a question says that everything before it was read. */
    amqp_queue_declare(out.connection, CHANNEL, queue, 1, 0, 0, 0, amqp_empty_table);
    check(out.connection, "cannot reach the broker at the end");
    printf("{\"began\": %.6f, \"ended\": %.6f, \"cpu\": %.6f, \"messages\": %ld}\n", began, now(), cpu() - used,
           total - warm);
    return 0;
}
