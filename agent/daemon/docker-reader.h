/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * The role that reads Docker's answers, and what it says to the core. It cannot ask Docker anything:
 * the core connects, sends the question and hands over the connection, on which the role may not
 * write.
 */
#include <stdint.h>

#include "batten/base/diag.h"
#include "batten/host/container.h"
#include "batten/host/docker.h"
#include "daemon/role-wire.h"

#define DOCKER_READER "docker-reader"

enum reader_message {
	READER_ASK,	  /* to the core, which answers */
	READER_ANSWER,	  /* with a connection, when there is no error */
	READER_AWAIT,	  /* to the core, which answers */
	READER_WAITS,
	READER_WAKE,	  /* to the role: the socket that it waited for is there */
	READER_FOLLOWED,  /* to the core, as all that follow */
	READER_LISTED,	  /* ids of READER_ID_BYTES each */
	READER_ENDED,	  /* one id */
	READER_CONTAINER, /* container_record_write() */
	READER_OVER,	  /* the same of one that was over before Docker could be asked */
	_READER_MAX,
};

#define READER_ID_BYTES (CONTAINER_ID_SIZE - 1)

struct reader_ask {
	uint32_t question; /* enum follow_question */
	uint32_t api_minor;
	char name[IMAGE_NAME_SIZE]; /* of FOLLOW_INSPECT, FOLLOW_MADE and FOLLOW_IMAGE, else zeros */
};

struct reader_answer {
	int32_t error; /* 0: a descriptor comes with it */
	struct diag why;
};

struct reader_waits {
	uint32_t will_be_told;
};

struct reader_followed {
	uint32_t followed; /* 0: and this is why */
	struct diag why;
};

extern const struct role_protocol docker_reader_protocol;

/* The process. @socket: Docker's, for the texts of errors. Returns when the core is gone. */
int docker_reader_run(const char *socket, struct diag *d) _must_check_;

/* What it gives up before it reads; for the test that tries to do more. */
int docker_reader_confine(struct diag *d) _must_check_;
