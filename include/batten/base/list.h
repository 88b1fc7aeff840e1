/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * An intrusive, circular, doubly linked list. The head is a node; a node in no list points at
 * itself, so that removing twice is harmless.
 */
#include <stdbool.h>

#include "batten/base/macros.h"

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(head) { &(head), &(head) }

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Walks the nodes; the body may remove @pos. */
#define list_for_each(pos, head)                                                                   \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);              \
	     pos = pos##_next, pos##_next = pos->next)
