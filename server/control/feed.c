#include "server/control/feed.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/errors.h"
#include "base/log.h"
#include "server/store/migrate.h"
#include "server/store/tenant.h"

struct feed {
	const struct config *config;
	struct loop *loop;
	struct board *board;
	struct feed_events events;
	pthread_t thread;
	int wake; /* eventfd */
	atomic_bool again, stop, ended;

	/* the thread's own */
	struct store *store;
	struct listener *listener;
	struct tenant tenant;
	uint64_t revision;
	nsec_t whole_at, notes_at, retry;
};

/* What is posted to the loop. */
struct news {
	struct feed *feed;
	struct gateway_feed read;
	bool whole;
	uint64_t ticket;
};

static void
on_news(void *arg, nsec_t now)
{
	struct news *news = arg;

	news->feed->events.read(news->feed->events.arg, &news->read, news->whole, news->ticket, now);
	gateway_feed_done(&news->read);
	free(news);
}

static void
on_ended(void *arg, nsec_t now)
{
	struct feed *feed = arg;

	feed->events.ended(feed->events.arg, now);
}

/* The database as all see it; said once when it changes. */
static void
database_is(struct feed *feed, int r, const char *words)
{
	struct board *board = feed->board;

	board_lock(board);
	if (r != board->database) {
		if (r < 0)
			log_error("database=down code=%s why=\"%s\"", error_code(r), words);
		else
			log_info("database=up");
	}
	board->database = r;
	snprintf(board->database_words, sizeof(board->database_words), "%s", r < 0 ? words : "");
	board_changed(board);
	board_unlock(board);
}

/* Before the first reading is posted: the loop looks there for whose rows it keeps. */
static void
tenant_publish(struct feed *feed)
{
	struct board *board = feed->board;

	board_lock(board);
	board->store = feed->store;
	board->tenant = feed->tenant.id;
	board_changed(board);
	board_unlock(board);
}

static int
bring_up(struct feed *feed, char words[STORE_ERROR_LEN])
{
	const struct actor system = {.actor = "system", .source = "", .request = ""};
	int r;

	words[0] = '\0';
	if (!feed->config->database_url[0]) {
		snprintf(words, STORE_ERROR_LEN, "no database was named");
		return -ERR_DATABASE;
	}
	if (!feed->store) {
		r = store_migrate(feed->config->database_url, words);
		if (r < 0)
			return r;
		if (r > 0)
			log_info("database=migrated migrations=%d version=%d", r, store_version());
		r = store_open(feed->config->database_url, &feed->store, words);
		if (r < 0)
			return r;
	}
	r = tenant_ensure(feed->store, FEED_TENANT, &feed->config->pool, &system, &feed->tenant);
	if (r < 0)
		snprintf(words, STORE_ERROR_LEN, "tenant \"%s\" could not be made: %s", FEED_TENANT,
			 error_words(r));
	return r < 0 ? r : 0;
}

struct reading {
	uint64_t since;
	struct gateway_feed *feed;
};

static int
read_work(struct tx *tx, void *arg)
{
	struct reading *reading = arg;

	gateway_feed_done(reading->feed); /* of a try before */
	*reading->feed = (struct gateway_feed){0};
	return gateway_read(tx, reading->since, reading->feed);
}

static int
read_feed(struct feed *feed, nsec_t now)
{
	struct news *news = calloc(1, sizeof(*news));
	struct reading reading;
	int r;

	if (!news)
		return -ENOMEM;
	if (atomic_exchange(&feed->again, false) || now >= feed->whole_at) {
		feed->revision = 0;
		feed->whole_at = now + WHOLE_EVERY;
	}
	board_lock(feed->board);
	news->ticket = feed->board->change_asked; /* asked after its commit, so what follows sees it */
	board_unlock(feed->board);
	news->feed = feed;
	news->whole = feed->revision == 0;
	reading = (struct reading){feed->revision, &news->read};
	r = store_run_gateway(feed->store, read_work, &reading);
	if (r < 0) {
		gateway_feed_done(&news->read);
		free(news);
		return r;
	}
	feed->revision = news->read.revision;
	r = loop_post(feed->loop, on_news, news);
	if (r < 0) {
		gateway_feed_done(&news->read);
		free(news);
		atomic_store(&feed->again, true);
	}
	return 0;
}

struct writing {
	size_t n;
	struct gateway_note notes[NOTES_MAX];
};

static int
write_work(struct tx *tx, void *arg)
{
	const struct writing *writing = arg;

	return gateway_notes(tx, writing->notes, writing->n);
}

static int
write_notes(struct feed *feed)
{
	_cleanup_(freep) struct writing *writing = calloc(1, sizeof(*writing));
	int r = 0;

	if (!writing)
		return -ENOMEM;
	do {
		board_lock(feed->board);
		writing->n = wanted_take_notes(&feed->board->wanted, writing->notes, NOTES_MAX);
		board_unlock(feed->board);
		if (writing->n == 0)
			return 0;
		r = store_run_gateway(feed->store, write_work, writing);
		if (r < 0) {
			board_lock(feed->board);
			wanted_unwritten(&feed->board->wanted, writing->notes, writing->n);
			board_unlock(feed->board);
		}
	} while (r >= 0 && writing->n == NOTES_MAX);
	return r < 0 ? r : 0;
}

/* Until woken, hinted, or @limit has passed. */
static void
rest(struct feed *feed, nsec_t limit)
{
	struct pollfd fds[2] = {
		{.fd = feed->wake, .events = POLLIN},
		{.fd = feed->listener ? listener_fd(feed->listener) : -1, .events = POLLIN},
	};
	uint64_t n;

	if (poll(fds, 2, (int)(limit / MILLISECONDS(1))) <= 0)
		return;
	if (fds[0].revents && read(feed->wake, &n, sizeof(n)) < 0)
		return;
	if (fds[1].revents && listener_read(feed->listener) < 0) {
		listener_free(feed->listener);
		feed->listener = NULL;
	}
}

static nsec_t
failed(struct feed *feed, int r, const char *words)
{
	database_is(feed, r, words);
	atomic_store(&feed->again, true); /* it may come back as another one, with other revisions */
	listener_free(feed->listener);
	feed->listener = NULL;
	feed->retry = feed->retry ? MIN(feed->retry * 2, RETRY_MOST) : RETRY_FIRST;
	return feed->retry;
}

/* One round; how long to rest. */
static nsec_t
round_of(struct feed *feed, nsec_t now)
{
	char words[STORE_ERROR_LEN];
	int r;

	if (!feed->tenant.id.v) {
		r = bring_up(feed, words);
		if (r < 0)
			return failed(feed, r, words[0] ? words : error_words(r));
		tenant_publish(feed);
	}
	r = read_feed(feed, now);
	if (r == 0 && now >= feed->notes_at) {
		r = write_notes(feed);
		feed->notes_at = now + NOTES_EVERY;
	}
	if (r < 0)
		return failed(feed, r, error_words(r));
	feed->retry = 0;
	database_is(feed, 0, "");
	if (!feed->listener && listener_open(feed->config->database_url, &feed->listener) < 0)
		feed->listener = NULL;
	return POLL_EVERY;
}

static void *
run(void *arg)
{
	struct feed *feed = arg;

	while (!atomic_load(&feed->stop)) {
		const nsec_t limit = round_of(feed, clock_boottime());

		if (!atomic_load(&feed->stop))
			rest(feed, limit);
	}
	if (feed->tenant.id.v && write_notes(feed) < 0)
		log_error("database=notes lost: the last places of some peers were not written down");
	listener_free(feed->listener);
	feed->listener = NULL;
	atomic_store(&feed->ended, true);
	if (loop_post(feed->loop, on_ended, feed) < 0)
		log_error("feed=ended and could not say so");
	return NULL;
}

int
feed_new(struct feed **ret, const struct config *config, struct loop *loop, struct board *board,
	 const struct feed_events *events)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	int r;

	if (!feed)
		return -ENOMEM;
	feed->config = config;
	feed->loop = loop;
	feed->board = board;
	feed->events = *events;
	feed->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (feed->wake < 0) {
		r = -errno;
		free(feed);
		return r;
	}
	board->database = -ERR_DATABASE;
	snprintf(board->database_words, sizeof(board->database_words), "it was not reached yet");
	r = pthread_create(&feed->thread, NULL, run, feed);
	if (r) {
		close(feed->wake);
		free(feed);
		return -r;
	}
	*ret = feed;
	return 0;
}

void
feed_wake(struct feed *feed)
{
	const uint64_t one = 1;

	if (write(feed->wake, &one, sizeof(one)) < 0)
		return; /* it is woken already */
}

void
feed_again(struct feed *feed)
{
	atomic_store(&feed->again, true);
	feed_wake(feed);
}

void
feed_stop(struct feed *feed)
{
	atomic_store(&feed->stop, true);
	feed_wake(feed);
}

void
feed_free(struct feed *feed)
{
	if (!feed || !atomic_load(&feed->ended))
		return;
	pthread_join(feed->thread, NULL);
	close(feed->wake);
	store_free(feed->store);
	free(feed);
}

void
feed_freep(struct feed **feed)
{
	feed_free(*feed);
}
