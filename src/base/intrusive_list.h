// SPDX-License-Identifier: Apache-2.0
// A doubly linked list through its elements: no allocation, O(1) everywhere. The list owns nothing.
#pragma once

#include <cstddef>
#include <iterator>

#include "base/assert.h"

namespace tapir::inline base {

// What an element inherits, once per list it may be in at the same time (each with a tag of its own). Not
// copied or moved with the element: a link is a place in memory.
template <typename Tag = void>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) : ListLink() {}
  ListLink& operator=(const ListLink&) { return *this; }

  bool linked() const { return next_ != nullptr; }

 private:
  template <typename T, typename LinkTag>
  friend class IntrusiveList;

  ListLink* prev_ = nullptr;  // null while in no list
  ListLink* next_ = nullptr;
};

// The elements are T, which derives from ListLink<Tag>. An element must leave the list before it dies.
//
//   struct Session : ListLink<> {};
//   IntrusiveList<Session> sessions;
template <typename T, typename Tag = void>
class IntrusiveList {
  using Link = ListLink<Tag>;

 public:
  IntrusiveList() { make_empty(); }
  IntrusiveList(IntrusiveList&& other) noexcept {
    make_empty();
    take(other);
  }
  // What was in this list is let go first.
  IntrusiveList& operator=(IntrusiveList&& other) noexcept {
    if (this != &other) {
      clear();
      take(other);
    }
    return *this;
  }
  ~IntrusiveList() { clear(); }

  bool empty() const { return end_.next_ == &end_; }
  std::size_t size() const { return size_; }

  T* front() { return empty() ? nullptr : element(end_.next_); }
  const T* front() const { return empty() ? nullptr : element(end_.next_); }
  T* back() { return empty() ? nullptr : element(end_.prev_); }
  const T* back() const { return empty() ? nullptr : element(end_.prev_); }
  // The neighbours of an element of this list; null past either end.
  T* next(T& item) {
    Link* link = as_link(item).next_;
    return link == &end_ ? nullptr : element(link);
  }
  T* prev(T& item) {
    Link* link = as_link(item).prev_;
    return link == &end_ ? nullptr : element(link);
  }

  void push_back(T& item) { link_before(end_, as_link(item)); }
  void push_front(T& item) { link_before(*end_.next_, as_link(item)); }
  // In front of `position`, an element of this list.
  void insert_before(T& position, T& item) { link_before(as_link(position), as_link(item)); }
  void erase(T& item) {
    Link& link = as_link(item);
    TAPIR_INVARIANT(link.linked(), "only an element of a list can leave it");
    link.prev_->next_ = link.next_;
    link.next_->prev_ = link.prev_;
    link.prev_ = link.next_ = nullptr;
    --size_;
  }
  T* pop_front() {
    T* item = front();
    if (item != nullptr) erase(*item);
    return item;
  }
  // Lets go of every element.
  void clear() {
    while (pop_front() != nullptr) {
    }
  }

  template <typename Item, typename LinkPointer>
  class Iterator {
   public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = Item*;
    using reference = Item&;

    Iterator() = default;
    explicit Iterator(LinkPointer link) : link_(link) {}
    Item& operator*() const { return static_cast<Item&>(*link_); }
    Item* operator->() const { return &**this; }
    Iterator& operator++() {
      link_ = step(link_);
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    Iterator& operator--() {
      link_ = step_back(link_);
      return *this;
    }
    Iterator operator--(int) {
      Iterator before = *this;
      --*this;
      return before;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    LinkPointer link_ = nullptr;
  };
  using iterator = Iterator<T, Link*>;
  using const_iterator = Iterator<const T, const Link*>;
  // An element may be erased once its iterator has moved on.
  iterator begin() { return iterator(end_.next_); }
  iterator end() { return iterator(&end_); }
  const_iterator begin() const { return const_iterator(end_.next_); }
  const_iterator end() const { return const_iterator(&end_); }

 private:
  static Link& as_link(T& item) { return static_cast<Link&>(item); }
  static T* element(Link* link) { return static_cast<T*>(link); }
  static const T* element(const Link* link) { return static_cast<const T*>(link); }
  static Link* step(Link* link) { return link->next_; }
  static const Link* step(const Link* link) { return link->next_; }
  static Link* step_back(Link* link) { return link->prev_; }
  static const Link* step_back(const Link* link) { return link->prev_; }

  void make_empty() {
    end_.prev_ = end_.next_ = &end_;
    size_ = 0;
  }
  void link_before(Link& position, Link& link) {
    TAPIR_INVARIANT(!link.linked(), "an element is in at most one list of a tag");
    link.next_ = &position;
    link.prev_ = position.prev_;
    position.prev_->next_ = &link;
    position.prev_ = &link;
    ++size_;
  }
  void take(IntrusiveList& other) {
    if (other.empty()) return;
    end_.next_ = other.end_.next_;
    end_.prev_ = other.end_.prev_;
    end_.next_->prev_ = &end_;
    end_.prev_->next_ = &end_;
    size_ = other.size_;
    other.make_empty();
  }

  Link end_;  // before the first and after the last
  std::size_t size_ = 0;
};

}  // namespace tapir::inline base
