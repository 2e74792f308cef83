// A Worker that keeps authors and their books in D1 by Prisma's client, which `prisma generate` has made beside it.
import { PrismaD1 } from "@prisma/adapter-d1";
import { PrismaClient } from "./generated/client.ts";

export default {
  async fetch(_request, env) {
    const prisma = new PrismaClient({ adapter: new PrismaD1(env.DB) });
    try {
      const ada = await prisma.author.create({
        data: { name: "Ada", born: new Date(0), books: { create: [{ title: "Notes" }, { title: "More notes" }] } },
        include: { books: { orderBy: { id: "asc" } } },
      });
      const many = await prisma.author.createMany({ data: [{ name: "Grace" }, { name: "Edsger" }] });
      const upserted = await prisma.author.upsert({ where: { name: "Grace" }, update: { living: true }, create: { name: "Grace" } });
      const [found, total] = await prisma.$transaction([
        prisma.author.findMany({ where: { books: { some: { title: { contains: "notes" } } } }, select: { name: true } }),
        prisma.author.count(),
      ]);
      const grouped = await prisma.book.groupBy({ by: ["authorId"], _count: true });
      const taken = await prisma.author.create({ data: { name: "Ada" } }).catch(({ code }) => code);
      const raw = await prisma.$queryRaw`SELECT name FROM Author WHERE id = ${ada.id}`;
      const removed = await prisma.book.deleteMany({ where: { authorId: ada.id } });
      const missing = await prisma.author.update({ where: { id: 99 }, data: { name: "x" } }).catch(({ code }) => code);
      return Response.json({ ada, many, living: upserted.living, found, total, grouped, taken, raw, removed, missing });
    } catch (error) {
      return new Response(error.stack, { status: 500 });
    }
  },
};
