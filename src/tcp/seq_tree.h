// SPDX-License-Identifier: Apache-2.0
// Records that own disjoint ranges of sequence space, in its order: an AVL tree through the records
// themselves. Nothing is allocated, nothing recurses, and no peer can make it worse than O(log n): its shape
// is no function of luck.
#pragma once

#include <cstdint>

#include "base/seq_num.h"

namespace tapir::tcp {

// Node has: SeqRange range; Node *tree_left, *tree_right, *tree_parent; std::uint32_t tree_height. A node's
// range may change while it is in the tree as long as the order does not. All ranges lie within 2^31.
template <typename Node>
class SeqTree {
 public:
  bool empty() const { return root_ == nullptr; }
  Node* first() const { return first_; }
  Node* last() const { return last_; }

  Node* next(const Node& node) const {
    if (node.tree_right != nullptr) return leftmost(node.tree_right);
    const Node* at = &node;
    while (at->tree_parent != nullptr && at->tree_parent->tree_right == at) at = at->tree_parent;
    return at->tree_parent;
  }
  Node* prev(const Node& node) const {
    if (node.tree_left != nullptr) return rightmost(node.tree_left);
    const Node* at = &node;
    while (at->tree_parent != nullptr && at->tree_parent->tree_left == at) at = at->tree_parent;
    return at->tree_parent;
  }
  // The last node that begins at or before `seq`, or null.
  Node* floor(SeqNum seq) const {
    Node* found = nullptr;
    for (Node* at = root_; at != nullptr;) {
      if (at->range.begin <= seq) {
        found = at;
        at = at->tree_right;
      } else {
        at = at->tree_left;
      }
    }
    return found;
  }

  void insert(Node& node) {
    node.tree_left = node.tree_right = node.tree_parent = nullptr;
    node.tree_height = 1;
    if (root_ == nullptr) {
      root_ = first_ = last_ = &node;
      return;
    }
    Node* parent = last_;  // where new data goes
    bool on_left = false;
    if (node.range.begin < last_->range.begin) {
      for (Node* at = root_; at != nullptr; at = on_left ? at->tree_left : at->tree_right) {
        parent = at;
        on_left = node.range.begin < at->range.begin;
      }
    }
    (on_left ? parent->tree_left : parent->tree_right) = &node;
    node.tree_parent = parent;
    if (on_left && parent == first_) first_ = &node;
    if (!on_left && parent == last_) last_ = &node;
    rebalance(parent);
  }

  void erase(Node& node) {
    if (first_ == &node) first_ = next(node);
    if (last_ == &node) last_ = prev(node);
    Node* from = node.tree_parent;
    if (node.tree_left != nullptr && node.tree_right != nullptr) {
      Node* heir = leftmost(node.tree_right);
      from = heir;
      if (heir->tree_parent != &node) {
        from = heir->tree_parent;
        replace(*heir, heir->tree_right);
        heir->tree_right = node.tree_right;
        heir->tree_right->tree_parent = heir;
      }
      heir->tree_left = node.tree_left;
      heir->tree_left->tree_parent = heir;
      heir->tree_height = node.tree_height;
      replace(node, heir);
    } else {
      replace(node, node.tree_left != nullptr ? node.tree_left : node.tree_right);
    }
    node.tree_left = node.tree_right = node.tree_parent = nullptr;
    rebalance(from);
  }

 private:
  static Node* leftmost(Node* at) {
    while (at->tree_left != nullptr) at = at->tree_left;
    return at;
  }
  static Node* rightmost(Node* at) {
    while (at->tree_right != nullptr) at = at->tree_right;
    return at;
  }
  static std::uint32_t height(const Node* node) { return node == nullptr ? 0 : node->tree_height; }
  static void measure(Node& node) {
    const std::uint32_t left = height(node.tree_left);
    const std::uint32_t right = height(node.tree_right);
    node.tree_height = 1 + (left > right ? left : right);
  }
  // `child` (or nothing) takes the place of `node` under its parent.
  void replace(Node& node, Node* child) {
    Node* parent = node.tree_parent;
    if (parent == nullptr) {
      root_ = child;
    } else {
      (parent->tree_left == &node ? parent->tree_left : parent->tree_right) = child;
    }
    if (child != nullptr) child->tree_parent = parent;
  }
  Node* rotate_left(Node& node) {
    Node* up = node.tree_right;
    replace(node, up);
    node.tree_right = up->tree_left;
    if (node.tree_right != nullptr) node.tree_right->tree_parent = &node;
    up->tree_left = &node;
    node.tree_parent = up;
    measure(node);
    measure(*up);
    return up;
  }
  Node* rotate_right(Node& node) {
    Node* up = node.tree_left;
    replace(node, up);
    node.tree_left = up->tree_right;
    if (node.tree_left != nullptr) node.tree_left->tree_parent = &node;
    up->tree_right = &node;
    node.tree_parent = up;
    measure(node);
    measure(*up);
    return up;
  }
  // Restores the balance from `at` upwards, as far as heights changed.
  void rebalance(Node* at) {
    while (at != nullptr) {
      const std::uint32_t before = at->tree_height;
      measure(*at);
      if (height(at->tree_left) > height(at->tree_right) + 1) {
        Node& left = *at->tree_left;
        if (height(left.tree_left) < height(left.tree_right)) rotate_left(left);
        at = rotate_right(*at);
      } else if (height(at->tree_right) > height(at->tree_left) + 1) {
        Node& right = *at->tree_right;
        if (height(right.tree_right) < height(right.tree_left)) rotate_right(right);
        at = rotate_left(*at);
      }
      if (at->tree_height == before) return;
      at = at->tree_parent;
    }
  }

  Node* root_ = nullptr;
  Node* first_ = nullptr;
  Node* last_ = nullptr;
};

}  // namespace tapir::tcp
